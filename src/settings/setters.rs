//! Setters for a builder, out of the rows.

/// Setters of what stands at the path `[…]` of the builder.
macro_rules! setters {
    (
        $at:tt
        $(
            $(#[$doc:meta])*
            $store:ident $name:ident: $kind:ident $(<$of:ident>)? = $default:tt
            $(, $least:tt $(to $most:tt)?)?;
        )*
    ) => {$(
        setter! {
            [
                $(#[$doc])*
                #[doc = ""]
                #[doc = concat!(
                    setters!(@store $store),
                    $("Bounds: from ", setters!(@text $least), $(" to ", setters!(@text $most),)? ". ",)?
                    "Default: ", setters!(@text $default), "."
                )]
            ]
            $at $name $kind $(<$of>)?
        }
    )*};
    (@store any) => { "" };
    (@store memory) => { "For `memory://` alone. " };
    (@store aerospike) => { "For `aerospike://` alone. " };
    (@text ($text:literal $(, $method:ident)?)) => { $text };
    (@text "") => { "none" };
    (@text $text:literal) => { concat!("`", $text, "`") };
    (@text $other:ident) => { concat!("`", stringify!($other), "`") };
}
pub(crate) use setters;

/// One setter: of which type its argument is, and how it becomes the value.
macro_rules! setter {
    ($doc:tt $at:tt $name:ident Span) => { setter! { @ $doc $at $name: std::time::Duration, $name } };
    ($doc:tt $at:tt $name:ident Share) => { setter! { @ $doc $at $name: f64, $name } };
    ($doc:tt $at:tt $name:ident Bytes) => { setter! { @ $doc $at $name: usize, $name } };
    ($doc:tt $at:tt $name:ident Count) => { setter! { @ $doc $at $name: usize, $name } };
    ($doc:tt $at:tt $name:ident Switch) => { setter! { @ $doc $at $name: bool, $name } };
    ($doc:tt $at:tt $name:ident Prefix) => { setter! { @ $doc $at $name: impl Into<Vec<u8>>, $name.into() } };
    ($doc:tt $at:tt $name:ident Choice<$of:ident>) => {
        setter! { @ $doc $at $name: crate::settings::$of, $name }
    };
    ($doc:tt $at:tt $name:ident Optional<Switch>) => { setter! { @ $doc $at $name: bool, Some($name) } };
    ($doc:tt $at:tt $name:ident Optional<Share>) => { setter! { @ $doc $at $name: f64, Some($name) } };
    ($doc:tt $at:tt $name:ident Optional<Span>) => {
        setter! { @ $doc $at $name: std::time::Duration, Some($name) }
    };
    ($doc:tt $at:tt $name:ident Optional<File>) => {
        setter! { @ $doc $at $name: impl Into<std::path::PathBuf>, Some($name.into()) }
    };
    ($doc:tt $at:tt $name:ident Optional<Text>) => {
        setter! { @ $doc $at $name: impl Into<String>, Some($name.into()) }
    };
    ($doc:tt $at:tt $name:ident Peers) => {
        setter! { @ $doc $at $name: impl Into<String>, crate::settings::Peers::new($name) }
    };
    ([$($doc:tt)*] [$($at:ident).+] $name:ident Pairs) => {
        $($doc)*
        pub fn $name<A: Into<String>, B: Into<String>>(
            mut self,
            $name: impl IntoIterator<Item = (A, B)>,
        ) -> Self {
            let pairs = $name.into_iter().map(|(from, to)| (from.into(), to.into()));
            self.$($at).+.$name = pairs.collect();
            self
        }
    };
    (@ [$($doc:tt)*] [$($at:ident).+] $name:ident: $type:ty, $value:expr) => {
        $($doc)*
        pub fn $name(mut self, $name: $type) -> Self {
            self.$($at).+.$name = $value;
            self
        }
    };
}
pub(crate) use setter;

/// What only these two take together.
macro_rules! login_setter {
    ($($at:ident).+) => {
        /// The user, where the cluster asks for one: 1 to 63 bytes, and a password of up to 512. Neither errors nor
        /// logs repeat the password.
        ///
        /// For `aerospike://` alone. In a URL they stand before the host.
        pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
            let (user, password) = (user.into(), password.into());
            self.$($at).+.login = Some(crate::settings::Login { user, password });
            self
        }
    };
}
pub(crate) use login_setter;
