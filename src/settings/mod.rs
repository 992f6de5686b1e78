//! The settings of a cache, and of the way to its cluster: what they are, what they may be, how they are written in a URL.

mod access;
#[cfg(feature = "aerospike")]
mod agreement;
mod bounds;
mod homes;
mod kinds;
mod options;
mod regions;
mod setters;
mod table;
mod url;

pub(crate) use access::{Access, Login};
#[cfg(feature = "aerospike")]
pub(crate) use agreement::{ONE_REGION, agreement};
#[cfg(all(feature = "aerospike", feature = "cli"))]
pub(crate) use agreement::{begins_to_read, follows, goes_on, moves};
pub(crate) use bounds::{Invalid, span, within};
pub(crate) use homes::Homes;
pub(crate) use options::Options;
pub(crate) use regions::{Peer, Peers};
pub(crate) use setters::{login_setter, setter, setters};
pub(crate) use table::{access_settings, cache_settings};
pub(crate) use url::{Target, parse};

macro_rules! define_choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $word:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $word,)*
        }

        impl kinds::Words for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($text, $name::$word)),*];
        }

        /// As in the table of settings: the first.
        impl Default for $name {
            fn default() -> Self {
                <$name as kinds::Words>::WORDS[0].1
            }
        }
    )*};
}
table::choices!(define_choices);

/// Of which store a setting is.
#[allow(non_camel_case_types, reason = "as it stands in the table")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    any,
    memory,
    aerospike,
}

/// A struct of settings, out of their rows.
macro_rules! define_settings {
    (
        $(#[$about:meta])* $struct:ident { $($also:ident: $also_type:ty,)* }
        $(
            $(#[$doc:meta])*
            $store:ident $name:ident: $kind:ident $(<$of:ident>)? = $default:tt
            $(, $least:tt $(to $most:tt)?)?;
        )*
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        pub(crate) struct $struct {
            $(pub $name: <$kind $(<$of>)? as Kind>::Value,)*
            $(pub $also: $also_type,)*
        }

        impl Default for $struct {
            fn default() -> Self {
                $struct {
                    $($name: default!($kind $(<$of>)?, $default),)*
                    $($also: Default::default(),)*
                }
            }
        }

        impl $struct {
            /// Every setting, and of which store it is.
            pub(super) const NAMES: &'static [(&'static str, Of)] =
                &[$((stringify!($name), Of::$store)),*];

            /// Checks that each is within its own bounds.
            fn check_bounds(&self, store: Of) -> Result<(), Invalid> {
                $(
                    if Of::$store == Of::any || Of::$store == store {
                        $(
                            let least = bound!(self, $kind, $least);
                            let most = None$(.or(Some(bound!(self, $kind, $most))))?;
                            let checked = $kind::check(stringify!($name), &self.$name, least, most);
                            let notes = [note!("least", $least), $(note!("most", $most))?];
                            checked.map_err(|invalid| invalid.noting(&notes))?;
                        )?
                    }
                )*
                Ok(())
            }

            /// Sets one as it stands in a URL; whether there is one of this name.
            pub(super) fn set(&mut self, name: &str, value: &str) -> Result<bool, Invalid> {
                match name {
                    $(
                        stringify!($name) => {
                            self.$name = <$kind $(<$of>)?>::parse(stringify!($name), value)?;
                        }
                    )*
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }
    };
}
use define_settings;

/// A value of the table, or what it is where none is given.
macro_rules! default {
    ($kind:ty, ($($text:literal)+)) => {
        None
    };
    ($kind:ty, $text:literal) => {
        crate::settings::kinds::of_the_table::<$kind>($text)
    };
}
use default;

/// A bound of the table: a text, another setting, or what a method says.
macro_rules! bound {
    ($self:ident, $kind:ident, ($text:literal, $method:ident)) => {
        $self.$method()
    };
    ($self:ident, $kind:ident, $text:literal) => {
        $kind::bound($text)
    };
    ($self:ident, $kind:ident, $other:ident) => {
        $self.$other
    };
}
use bound;

/// What a bound is that is no text.
macro_rules! note {
    ($which:literal, ($text:literal, $method:ident)) => {
        concat!("; the ", $which, " is ", $text)
    };
    ($which:literal, $text:literal) => {
        ""
    };
    ($which:literal, $other:ident) => {
        concat!("; the ", $which, " is `", stringify!($other), "`")
    };
}
use note;
