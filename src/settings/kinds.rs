//! What kinds of settings there are: how each is written, and how it is held within bounds.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use super::bounds::{Invalid, span, within};

/// A kind of settings.
pub(crate) trait Kind {
    type Value;

    /// Reads a value as it stands in a URL. An error never repeats it.
    fn parse(field: &'static str, text: &str) -> Result<Self::Value, Invalid>;
}

/// A kind that has bounds.
pub(crate) trait Bounded: Kind {
    /// What is held within bounds: the value, or how long it is.
    type Measure;

    /// A bound as it stands in the table.
    fn bound(text: &'static str) -> Self::Measure;

    fn check(
        field: &'static str,
        value: &Self::Value,
        least: Self::Measure,
        most: Option<Self::Measure>,
    ) -> Result<(), Invalid>;
}

/// A span of time: `500ms`, `10s`, `5m`.
pub(crate) enum Span {}
/// A share of a whole: `0.1`.
pub(crate) enum Share {}
/// A size in bytes: `65536`, `64KiB`.
pub(crate) enum Bytes {}
/// A whole number.
pub(crate) enum Count {}
/// `true` or `false`.
pub(crate) enum Switch {}
/// The path of a file.
pub(crate) enum File {}
/// A text.
pub(crate) enum Text {}
/// What keys begin with. Bounds are those of its length.
pub(crate) enum Prefix {}
/// Pairs: `10.0.0.1=192.0.2.1,10.0.0.2=192.0.2.2`.
pub(crate) enum Pairs {}
/// The clusters of several regions, taken apart when all is checked.
pub(crate) enum Peers {}
/// One of a few words.
pub(crate) struct Choice<C>(PhantomData<C>);
/// One that need not be given; the default then follows from others.
pub(crate) struct Optional<K>(PhantomData<K>);

/// The words of a [`Choice`].
pub(crate) trait Words: Sized + Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];

    fn word(self) -> &'static str
    where
        Self: PartialEq,
    {
        let found = Self::WORDS.iter().find(|(_, of)| *of == self);
        found.map(|(word, _)| *word).expect("each has a word")
    }
}

impl Kind for Span {
    type Value = Duration;

    fn parse(field: &'static str, text: &str) -> Result<Duration, Invalid> {
        humantime::parse_duration(text)
            .map_err(|problem| Invalid::new(field, format!("{problem}; write 500ms, 10s, 5m")))
    }
}

impl Bounded for Span {
    type Measure = Duration;

    fn bound(text: &'static str) -> Duration {
        of_the_table::<Span>(text)
    }

    fn check(
        field: &'static str,
        value: &Duration,
        least: Duration,
        most: Option<Duration>,
    ) -> Result<(), Invalid> {
        span(field, *value, least, most.unwrap_or(Duration::MAX))
    }
}

impl Kind for Share {
    type Value = f64;

    fn parse(field: &'static str, text: &str) -> Result<f64, Invalid> {
        number(field, text)
    }
}

impl Kind for Bytes {
    type Value = usize;

    fn parse(field: &'static str, text: &str) -> Result<usize, Invalid> {
        let size: Result<ByteSize, _> = text.parse();
        let size = size.map_err(|_| Invalid::new(field, "is no size; write 65536, 64KiB, 8MiB"))?;
        usize::try_from(size.as_u64())
            .map_err(|_| Invalid::new(field, "is too large for this machine"))
    }
}

impl Kind for Count {
    type Value = usize;

    fn parse(field: &'static str, text: &str) -> Result<usize, Invalid> {
        number(field, text)
    }
}

macro_rules! numbers {
    ($($kind:ty: $value:ty),*) => {$(
        impl Bounded for $kind {
            type Measure = $value;

            fn bound(text: &'static str) -> $value {
                of_the_table::<$kind>(text)
            }

            fn check(
                field: &'static str,
                value: &$value,
                least: $value,
                most: Option<$value>,
            ) -> Result<(), Invalid> {
                within(field, *value, least, most)
            }
        }
    )*};
}
numbers!(Share: f64, Bytes: usize, Count: usize);

impl Kind for Prefix {
    type Value = Vec<u8>;

    fn parse(field: &'static str, text: &str) -> Result<Vec<u8>, Invalid> {
        if text.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Invalid::new(field, "must be UTF-8 in a URL; the builder takes any bytes"));
        }
        Ok(text.into())
    }
}

impl Bounded for Prefix {
    type Measure = usize;

    fn bound(text: &'static str) -> usize {
        of_the_table::<Count>(text)
    }

    fn check(
        field: &'static str,
        value: &Vec<u8>,
        least: usize,
        most: Option<usize>,
    ) -> Result<(), Invalid> {
        within(field, value.len(), least, most)
    }
}

impl Kind for Switch {
    type Value = bool;

    fn parse(field: &'static str, text: &str) -> Result<bool, Invalid> {
        text.parse().map_err(|_| Invalid::new(field, "must be true or false"))
    }
}

impl Kind for File {
    type Value = PathBuf;

    fn parse(_: &'static str, text: &str) -> Result<PathBuf, Invalid> {
        Ok(text.into())
    }
}

impl Kind for Text {
    type Value = String;

    fn parse(_: &'static str, text: &str) -> Result<String, Invalid> {
        Ok(text.into())
    }
}

impl Kind for Pairs {
    type Value = HashMap<String, String>;

    fn parse(field: &'static str, text: &str) -> Result<Self::Value, Invalid> {
        let pair = |pair: &str| {
            let (from, to) = pair.split_once('=')?;
            Some((from.to_owned(), to.to_owned()))
        };
        if text.is_empty() {
            return Ok(HashMap::new());
        }
        let pairs: Option<_> = text.split(',').map(pair).collect();
        let problem = "must be pairs as 10.0.0.1=192.0.2.1, with a comma between them";
        pairs.ok_or_else(|| Invalid::new(field, problem))
    }
}

impl Kind for Peers {
    type Value = super::Peers;

    fn parse(_: &'static str, text: &str) -> Result<Self::Value, Invalid> {
        Ok(super::Peers::new(text))
    }
}

impl<C: Words> Kind for Choice<C> {
    type Value = C;

    fn parse(field: &'static str, text: &str) -> Result<C, Invalid> {
        let found = C::WORDS.iter().find(|(word, _)| *word == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<&str> = C::WORDS.iter().map(|(word, _)| *word).collect();
            let (last, others) = words.split_last().expect("there are words");
            Invalid::new(field, format!("must be {} or {last}", others.join(", ")))
        })
    }
}

impl<K: Kind> Kind for Optional<K> {
    type Value = Option<K::Value>;

    fn parse(field: &'static str, text: &str) -> Result<Self::Value, Invalid> {
        K::parse(field, text).map(Some)
    }
}

fn number<T: FromStr>(field: &'static str, text: &str) -> Result<T, Invalid> {
    text.parse().map_err(|_| Invalid::new(field, "is no number of its kind; write 3, 0.1"))
}

/// A default, or a bound.
pub(crate) fn of_the_table<K: Kind>(text: &'static str) -> K::Value {
    K::parse("", text).unwrap_or_else(|problem| panic!("`{text}` in the table: {problem:?}"))
}
