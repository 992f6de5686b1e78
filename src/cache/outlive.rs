//! What writers wait for: that no copies of a value are served any more.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use super::retry::token;
use super::stopwatch::{Stopwatch, with_drift};
use super::together::together;
use super::{Cache, Error, Reservation, Room};
use crate::protocol::{Claim, Terms, Token};
use crate::store::{Read, Store as _, StoreError};

impl Cache {
    /// As [`reserve`](Cache::reserve), once no copies of the value are served any more (the option `near`): until then the value is, so
    /// that only the change itself is a time in which the source alone is read. For who has nothing to do meanwhile, as it takes up to `near_max`;
    /// [`update`](Cache::update) begins with it.
    ///
    /// # Errors
    /// As [`reserve`](Cache::reserve).
    ///
    /// # Example
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
    /// # let cache = genfence::Cache::connect("memory://").await?;
    /// let reservation = cache.reserve_settled("user:1").await?;
    /// assert!(reservation.unsettled().is_zero());
    /// // BEGIN; UPDATE …; COMMIT
    /// let _ = reservation.release(None).await?;
    /// # Ok(()) }
    /// ```
    pub async fn reserve_settled(&self, key: impl AsRef<[u8]>) -> Result<Reservation, Error> {
        let key = key.as_ref();
        self.reserve_under(key, self.hushed(key).await?).await
    }

    /// The same of several keys: no copies of any are served when one is reserved.
    pub(super) async fn take_settled(&self, keys: &[Bytes]) -> Vec<Result<Reservation, Error>> {
        let hushes = together(keys.iter().map(|key| self.hushed(key))).await;
        let taken = keys
            .iter()
            .zip(hushes)
            .map(|(key, hush)| async move { self.reserve_under(key, hush?).await });
        together(taken).await
    }

    async fn hushed(&self, key: &[u8]) -> Result<Option<Token>, Error> {
        let room = &mut Room::default();
        let (cache, key) = self.key(key, room)?;
        Ok(cache.hush(&key).await)
    }

    async fn reserve_under(&self, key: &[u8], hush: Option<Token>) -> Result<Reservation, Error> {
        let reservation = self.reserve(key).await?;
        reservation.settled_under(hush).await;
        Ok(reservation)
    }

    /// Waits for the copies that there are of a value, while that is served and nobody is given leave for another one. Who reserves
    /// after it has nothing to wait for, as long as the reserve finds the same hush: which one, if it could be had.
    pub(super) async fn hush(&self, key: &[u8]) -> Option<Token> {
        if self.has_copies() { Box::pin(self.hush_and_outlive(key)).await } else { None }
    }

    async fn hush_and_outlive(&self, key: &[u8]) -> Option<Token> {
        let standing = self.may_serve();
        let look = self.send_look(key).await.ok()?;
        let terms = self.0.store.terms();
        let (Read::Hit(_), Some(near)) = (&look.read, look.near) else { return None };
        let time = 2 * near.longest + terms.clocks;
        // Who writes a key again, while nobody has copies as somebody wrote it, keeps it so: the next need not wait, either.
        let goes_on = look.is_hushed() && near.hushed?.until < look.now.after(time / 2);
        if look.wait(&terms).is_zero() && !goes_on {
            return None;
        }
        let until = self.until_on(look.now, standing).ok()?;
        let hush = Claim::Hush { token: token(), time, until };
        let grant = self.send_claim(key, &hush).await.ok()?.ok()?;
        Stopwatch::start().wait_until(with_drift(grant.wait)).await;
        grant.hush
    }

    /// Whether any program keeps copies of what is in the store.
    pub(super) fn has_copies(&self) -> bool {
        self.0.store.terms() != Terms::default()
    }

    /// Waits until no copies of these keys' values can be served any more, after they were removed. Of those of which it
    /// is not known: their places, and why.
    pub(super) async fn outlive_copies<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]>,
    ) -> Vec<(usize, StoreError)> {
        if !self.has_copies() {
            return Vec::new();
        }
        let looks = join_all(keys.map(|key| self.copies_live(key))).await;
        let answered = Stopwatch::start();
        let (mut longest, mut unknown) = (Duration::ZERO, Vec::new());
        for (place, left) in looks.into_iter().enumerate() {
            match left {
                Ok(left) => longest = longest.max(left),
                Err(error) => unknown.push((place, error)),
            }
        }
        answered.wait_until(with_drift(longest)).await;
        unknown
    }

    /// For how long, from the answer on.
    async fn copies_live(&self, key: &[u8]) -> Result<Duration, StoreError> {
        let mut tries = self.tries();
        loop {
            match self.0.store.look(key).await {
                Ok(look) => {
                    // What was read while it was removed.
                    self.forget(key);
                    return Ok(look.wait(&self.0.store.terms()));
                }
                Err(error) => tries.again(error).await?,
            }
        }
    }
}
