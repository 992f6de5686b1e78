use std::time::Duration;

use super::kinds::{
    Bounded, Bytes, Choice, Count, Kind, Optional, Peers, Prefix, Share, Span, Switch, Text,
};
use super::{
    Access, Fence, HomesPhase, Invalid, Of, UnreachableRead, UnreachableRegion, UnreachableReserve,
    bound, cache_settings, default, define_settings, note,
};
use crate::protocol::Terms;

macro_rules! define_options {
    ($($rows:tt)*) => {
        define_settings! {
            /// The settings of a cache. Each can be given to the builder or, under the same name, in the URL.
            Options { access: Access, }
            $($rows)*
        }
    };
}
cache_settings!(define_options);

impl Options {
    /// Checks every setting of a cache on this store.
    pub fn check(&self, store: Of) -> Result<(), Invalid> {
        self.check_bounds(store)?;
        self.check_stream_bound(store)?;
        self.check_near()?;
        if let Some(share) = self.refresh_at {
            super::within("refresh_at", share, 0.1, Some(0.99))?;
        }
        let optional = |name, given: Option<Duration>, least, most| {
            given.map_or(Ok(()), |given| super::span(name, given, least, most))
        };
        let (milli, hour) = (Duration::from_millis(1), Duration::from_secs(60 * 60));
        optional("stale_for", self.stale_for, Duration::from_secs(1), hour * 24 * 7)?;
        optional("soft_timeout", self.soft_timeout, milli, hour)?;
        optional("hard_timeout", self.hard_timeout, milli, hour)?;
        self.check_tags()?;
        if store == Of::aerospike { self.access.check() } else { Ok(()) }
    }

    fn check_stream_bound(&self, store: Of) -> Result<(), Invalid> {
        let Some(bound) = self.stream_bound else { return Ok(()) };
        let kept_back = if store == Of::memory { Duration::ZERO } else { self.reservation_margin };
        let least = (kept_back + kept_back / 2).max(Duration::from_millis(100));
        let most = Duration::from_secs(60 * 60);
        super::span("stream_bound", bound, least, most).map_err(|invalid| {
            invalid.noting(&[
                "; but for `memory://` the least is one and a half times `reservation_margin`",
            ])
        })
    }

    /// A tag would be at home in another region than what bears it, and purged in one alone.
    fn check_tags(&self) -> Result<(), Invalid> {
        if !self.tags || self.fence == Fence::Own {
            return Ok(());
        }
        let problem =
            "cannot be where `fence` is `all` or `home`: a tag is known in one region alone";
        Err(Invalid::new("tags", problem))
    }

    /// A writer must have time left when it has waited for copies.
    fn check_near(&self) -> Result<(), Invalid> {
        let most = self.just_below_reservation_time().saturating_sub(self.reservation_margin);
        for (field, near) in [("near_max", self.near_max), ("near", self.near)] {
            let Some(near) = near else { continue };
            super::span(field, near, Duration::from_millis(10), most).map_err(|invalid| {
                invalid.noting(&["; the most is `reservation_time` less `reservation_margin`"])
            })?;
        }
        if let (Some(near), Some(max)) = (self.near, self.near_max) {
            super::span("near", near, Duration::from_millis(10), max)
                .map_err(|invalid| invalid.noting(&["; the most is `near_max`"]))?;
        }
        Ok(())
    }

    /// What all programs of the set reckon with alike.
    #[cfg_attr(
        not(feature = "aerospike"),
        expect(dead_code, reason = "the embedded store needs none")
    )]
    pub fn terms(&self) -> Terms {
        match self.longest_near() {
            Some(unsaid) => Terms { unsaid, clocks: self.reservation_margin },
            None => Terms::default(),
        }
    }

    /// The longest that any program of the set keeps copies for, if any may.
    pub fn longest_near(&self) -> Option<Duration> {
        self.near_max.or(self.near)
    }

    /// Checks how long copies are to be kept of what is read through one handle; not at all, where it is zero.
    pub fn check_near_of_a_handle(&self, time: Duration) -> Result<(), Invalid> {
        if self.fence == Fence::Home {
            let problem = "cannot be of a handle where `fence` is `home`: copies are those of the region that a key is at home in";
            return Err(Invalid::new("near", problem));
        }
        if time.is_zero() {
            return Ok(());
        }
        let Some(max) = self.longest_near() else {
            let problem = "no copies may be kept: set the option `near_max`, in all programs alike";
            return Err(Invalid::new("near", problem));
        };
        super::span("near", time, Duration::from_millis(10), max)
            .map_err(|invalid| invalid.noting(&["; the most is `near_max`"]))
    }

    fn just_below_reservation_time(&self) -> Duration {
        self.reservation_time.saturating_sub(Duration::from_millis(1))
    }

    /// A floor must outlive the replicas' lag, and every store sets the life of the record anew.
    fn shortest_ttl(&self) -> Duration {
        let shortest = self.ttl.min(self.negative_ttl).mul_f64(1.0 - self.ttl_jitter);
        shortest.max(Duration::from_secs(1))
    }

    fn just_below_max_key_bytes(&self) -> usize {
        self.max_key_bytes.saturating_sub(1)
    }

    /// A few of the largest values fit into the embedded store.
    fn four_values(&self) -> usize {
        self.max_value_bytes.saturating_mul(4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::MAX_TTL;

    #[test]
    fn the_defaults_are_within_their_own_bounds() {
        let options = Options::default();
        options.check(Of::memory).unwrap();
        options.check(Of::aerospike).unwrap();
    }

    #[test]
    fn the_default_of_a_choice_is_its_first_word() {
        let Options { unreachable_read, unreachable_reserve, access, .. } = Options::default();
        assert_eq!(unreachable_read, UnreachableRead::default());
        assert_eq!(unreachable_reserve, UnreachableReserve::default());
        assert_eq!(access.auth, crate::settings::Auth::default());
    }

    #[test]
    fn the_longest_time_to_live_is_that_of_the_protocol() {
        let mut options = Options { ttl: MAX_TTL, ..Options::default() };
        options.check(Of::any).unwrap();
        options.ttl += Duration::from_nanos(1);
        assert_eq!(options.check(Of::any).unwrap_err().field, "ttl");
    }
}
