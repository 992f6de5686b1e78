//! What may be served now: what a call is given that begins and ends at this instant.

use genfence::protocol::{Hit, Token, get};

use super::clients::{Client, Copy};
use super::mends::Mend;
use super::setup::{Setup, Tag};
use super::world::{Held, Key, World};

impl World {
    /// The value in the record of a key.
    pub fn hit(&self, key: Key) -> Option<Hit<Held>> {
        get(self.slots.get(&key), self.now)
    }

    /// A tag's nonce: the token that its record was left with.
    pub fn nonce(&self, setup: &Setup, tag: Tag) -> Option<Token> {
        let stamp = self.hit(Key::Tag(tag))?.stamp;
        if setup.undoes(Mend::NonceIsToken) {
            let generation = self.slots.get(&Key::Tag(tag))?.generation;
            return Some(Token::new(generation.get().into()));
        }
        Some(stamp)
    }

    /// Whether these are the nonces of a value's tags now.
    pub fn are_nonces(&self, setup: &Setup, value: usize, nonces: &[Token]) -> bool {
        compare(setup, value, nonces, |tag| self.nonce(setup, tag))
    }

    /// All hits that there may be now, with whose value they are.
    pub fn hits(&self, setup: &Setup) -> Vec<(usize, u8)> {
        let mut hits = Vec::new();
        for value in 0..setup.values.len() {
            let stored = self.hit(Key::Value(value)).map(|hit| hit.value);
            let now = |held: &Held| self.are_nonces(setup, value, &held.nonces);
            hits.extend(stored.clone().filter(now).map(|held| (value, held.value)));
            for client in self.clients.iter().filter(|client| client.keeps == Some(value)) {
                let near = |held: &Held| self.are_near(setup, value, client, &held.nonces);
                hits.extend(stored.clone().filter(near).map(|held| (value, held.value)));
                let copy = client.copy.as_ref().map(|Copy { of, .. }| of);
                let serves =
                    |held: &&Held| near(held) || now(held) || setup.undoes(Mend::CopyAsksNonce);
                hits.extend(copy.filter(serves).map(|held| (value, held.value)));
            }
        }
        hits
    }

    /// Whether these are the nonces by this client's own copies, or by the records.
    fn are_near(&self, setup: &Setup, value: usize, client: &Client, nonces: &[Token]) -> bool {
        let copy = |tag: Tag| client.nonces_kept.get(&tag).map(|copy| copy.of);
        compare(setup, value, nonces, |tag| copy(tag).or_else(|| self.nonce(setup, tag)))
    }
}

/// Whether these nonces of a value are those that its tags have.
pub fn compare(
    setup: &Setup,
    value: usize,
    nonces: &[Token],
    nonce: impl Fn(Tag) -> Option<Token>,
) -> bool {
    let tags = setup.values[value];
    let asked = if setup.undoes(Mend::AllTagsAreCompared) { &tags[..1] } else { tags };
    asked.iter().zip(nonces).all(|(tag, own)| match nonce(*tag) {
        Some(nonce) => nonce == *own,
        None => setup.undoes(Mend::AbsentDiffers),
    })
}
