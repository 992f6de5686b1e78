//! What stands before a value that bears tags: a format, whether the source has nothing, and each tag with its nonce.

use bytes::Bytes;
use smallvec::SmallVec;

use super::{EVERYTHING, MAX_TAG, MAX_TAGS};
use crate::protocol::Token;
use crate::store::Value;

/// A tag, and the token of its record's value.
pub(in crate::cache) type Nonce = (Bytes, Token);

/// What a value was stored with, and the value.
pub(in crate::cache) struct Stored {
    pub nonces: SmallVec<[Nonce; 4]>,
    pub value: Value,
}

const FORMAT: u8 = 1;
/// Of the source's having nothing.
const NOTHING: u8 = 1;

/// Puts nonces, of [`MAX_TAGS`] tags and the one that all bear, before a value.
pub(super) fn write(nonces: &[Nonce], value: &Value) -> Bytes {
    let payload: &[u8] = value.as_deref().unwrap_or_default();
    let head: usize = nonces.iter().map(|(tag, _)| 2 + tag.len() + 8).sum();
    let mut bytes = Vec::with_capacity(3 + head + payload.len());
    let count = u8::try_from(nonces.len()).expect("there are few");
    bytes.extend([FORMAT, if value.is_none() { NOTHING } else { 0 }, count]);
    for (tag, nonce) in nonces {
        let length = u16::try_from(tag.len()).expect("a tag is short");
        bytes.extend(length.to_be_bytes());
        bytes.extend(&**tag);
        bytes.extend(nonce.bits().to_be_bytes());
    }
    bytes.extend(payload);
    bytes.into()
}

/// Takes it apart, without a copy. `None` for what was not written so.
pub(in crate::cache) fn read(stored: &Value) -> Option<Stored> {
    let mut rest = stored.clone()?;
    let start = take(&mut rest, 3)?;
    let (format, is_nothing, count) = (start[0], start[1], usize::from(start[2]));
    if format != FORMAT || is_nothing > NOTHING || !(1..=MAX_TAGS + 1).contains(&count) {
        return None;
    }
    let mut nonces = SmallVec::with_capacity(count);
    for _ in 0..count {
        let length = take(&mut rest, 2)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if !(1..=MAX_TAG).contains(&length) {
            return None;
        }
        let tag = take(&mut rest, length)?;
        let nonce = take(&mut rest, 8)?;
        let nonce = nonce.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        nonces.push((tag, Token::new(nonce)));
    }
    let bears_all = nonces.last().is_some_and(|(tag, _): &Nonce| **tag == *EVERYTHING);
    let value = match is_nothing {
        NOTHING if rest.is_empty() => None,
        NOTHING => return None,
        _ => Some(rest),
    };
    bears_all.then_some(Stored { nonces, value })
}

fn take(bytes: &mut Bytes, count: usize) -> Option<Bytes> {
    (count <= bytes.len()).then(|| bytes.split_to(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces() -> Vec<Nonce> {
        let tag = |name: &'static str, bits| (Bytes::from(name), Token::new(bits));
        vec![tag("a", 1), tag("of a longer name", u64::MAX), tag("*", 0x0102_0304_0506_0708)]
    }

    #[test]
    fn a_value_comes_back_as_it_was_with_all_its_nonces() {
        for value in [None, Some(Bytes::new()), Some(Bytes::from("v"))] {
            let stored = read(&Some(write(&nonces(), &value))).unwrap();
            assert_eq!((stored.value, stored.nonces.to_vec()), (value, nonces()));
        }
    }

    #[test]
    fn the_layout_stays_as_it_is() {
        let tag = (Bytes::from("*"), Token::new(0x0102_0304_0506_0708));
        let written = write(&[tag], &Some("v".into()));
        assert_eq!(*written, [1, 0, 1, 0, 1, b'*', 1, 2, 3, 4, 5, 6, 7, 8, b'v']);
    }

    #[test]
    fn what_was_not_written_so_is_not_taken_for_a_value() {
        let whole = write(&nonces(), &None);
        assert!(read(&Some(whole.clone())).is_some());
        for end in 0..whole.len() {
            assert!(read(&Some(whole.slice(..end))).is_none(), "{end}");
        }
        let changed = |place: usize, byte: u8| {
            let mut bytes = whole.to_vec();
            bytes[place] = byte;
            Some(Bytes::from(bytes))
        };
        // Another format; neither something nor nothing; no tags; too many; a tag without a name; another last tag.
        let places = [(0, 2), (1, 2), (2, 0), (2, 34), (4, 0), (whole.len() - 9, b'+')];
        for (place, byte) in places {
            assert!(read(&changed(place, byte)).is_none(), "{place}");
        }
        let nothing_and_more = [&*whole, b"more"].concat();
        assert!(read(&Some(nothing_and_more.into())).is_none());
        assert!(read(&None).is_none());
    }
}
