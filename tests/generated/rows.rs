//! The rows of the tables, as data.

#[path = "../../src/cache/counters.rs"]
mod counters;
#[path = "../../src/ffi/operations.rs"]
mod operations;
#[path = "../../src/settings/table.rs"]
mod table;

/// One thing that is counted.
pub struct Counter {
    pub name: &'static str,
    pub metric: &'static str,
    pub told: String,
}

/// One operation of the boundary.
pub struct Operation {
    pub name: &'static str,
    pub number: u32,
}

/// One setting.
pub struct Setting {
    pub name: &'static str,
    pub kind: &'static str,
    pub of: Option<&'static str>,
    pub store: &'static str,
    pub default: &'static str,
    /// The least and the most, as a reader is told.
    pub bounds: Option<(&'static str, Option<&'static str>)>,
    pub told: String,
}

/// What a setting can be, where it is one of a few words.
pub struct Choice {
    pub name: &'static str,
    pub words: Vec<Word>,
    pub told: String,
}

pub struct Word {
    pub name: &'static str,
    pub text: &'static str,
    pub told: String,
}

/// Lines of documentation, one text.
fn told(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

pub fn counters() -> Vec<Counter> {
    macro_rules! list {
        ($($(#[doc = $doc:literal])* $name:ident: $counter:ident $metric:literal;)*) => {
            vec![$(Counter { name: stringify!($name), metric: $metric, told: told(&[$($doc),*]) }),*]
        };
    }
    counters::counters!(list)
}

pub fn operations() -> Vec<Operation> {
    macro_rules! list {
        ($($(#[$doc:meta])* $number_name:ident $name:ident = $number:literal {
            $($field:ident $(($flag:ident))?),*
        })*) => {
            vec![$(Operation {
                name: stringify!($name),
                number: $number,
            }),*]
        };
    }
    operations::operations!(list)
}

/// A default or a bound, as a reader is told.
macro_rules! text {
    (($text:literal $(, $method:ident)?)) => {
        $text
    };
    ($text:literal) => {
        concat!("`", $text, "`")
    };
    ($other:ident) => {
        concat!("`", stringify!($other), "`")
    };
}

pub fn settings() -> Vec<Setting> {
    macro_rules! list {
        ($(
            $(#[doc = $doc:literal])*
            $store:ident $name:ident: $kind:ident $(<$of:ident>)? = $default:tt
            $(, $least:tt $(to $most:tt)?)?;
        )*) => {
            vec![$(Setting {
                name: stringify!($name),
                kind: stringify!($kind),
                of: None$(.or(Some(stringify!($of))))?,
                store: stringify!($store),
                default: text!($default),
                bounds: None$(.or(Some((text!($least), None$(.or(Some(text!($most))))?))))?,
                told: told(&[$($doc),*]),
            }),*]
        };
    }
    let mut settings = table::cache_settings!(list);
    settings.extend(table::access_settings!(list));
    settings
}

pub fn choices() -> Vec<Choice> {
    macro_rules! list {
        ($(
            $(#[doc = $doc:literal])*
            $name:ident { $($(#[doc = $of:literal])* $word:ident = $text:literal,)* }
        )*) => {
            vec![$(Choice {
                name: stringify!($name),
                words: vec![$(Word {
                    name: stringify!($word),
                    text: $text,
                    told: told(&[$($of),*]),
                }),*],
                told: told(&[$($doc),*]),
            }),*]
        };
    }
    table::choices!(list)
}
