use super::{
    Change, Lease, Record, Refusal, Stored, Terms, Time, Token, Ttl, Version, in_time, run,
};

/// Applies a [`Change`] to the record of its key.
///
/// # Errors
/// The [`Refusal`] that says why nothing was done; the record is as it was.
pub fn change<V: Clone>(
    slot: &mut Option<Record<V>>,
    now: Time,
    terms: &Terms,
    change: &Change<V>,
) -> Result<(), Refusal> {
    let creates = matches!(
        change,
        Change::Set { .. }
            | Change::Release { version: Some(_), .. }
            | Change::Invalidate { version: Some(_), .. }
    );
    let generation = match change {
        Change::Fill { generation, .. } | Change::Commit { generation, .. } => Some(*generation),
        _ => None,
    };
    run(slot, now, terms, creates, generation, |record| match *change {
        Change::Fill { token, deadline, ref value, version, ttl, until, .. } => {
            in_time(now, until)?;
            fill(record, Lease { token, deadline }, version)?;
            store(record, now, value, token, version, ttl);
            Some(())
        }
        Change::Refill { token, deadline, stamp, ref value, version, ttl, until } => {
            in_time(now, until)?;
            refill(record, Lease { token, deadline }, stamp, version)?;
            store(record, now, value, token, version, ttl);
            Some(())
        }
        Change::Unlease { token, until } => {
            in_time(now, until)?;
            unlease(record, token)
        }
        Change::Commit { token, deadline, ref value, ttl, until, .. } => {
            in_time(now, until)?;
            commit(record, token, deadline)?;
            store(record, now, value, token, None, ttl);
            Some(())
        }
        Change::CommitVersioned { token, deadline, ref value, version, ttl, until } => {
            in_time(now, until)?;
            commit_versioned(record, token, deadline, version)?;
            store(record, now, value, token, Some(version), ttl);
            Some(())
        }
        Change::Release { token, version, ttl } => {
            release(record, now, token, version, ttl);
            Some(())
        }
        Change::Abort { token, ref previous } => abort(record, token, previous),
        Change::Invalidate { version, ttl } => invalidate(record, now, version, ttl),
        Change::Set { token, ref value, ttl } => {
            set(record, now)?;
            store(record, now, value, token, None, ttl);
            Some(())
        }
        Change::Replace { stamp, token, ref value, ttl, until } => {
            in_time(now, until)?;
            replace(record, now, stamp)?;
            store(record, now, value, token, None, ttl);
            Some(())
        }
        Change::Touch { ttl, until } => {
            in_time(now, until)?;
            record.stored.as_ref()?;
            record.live_for(ttl, now);
            Some(())
        }
    })
}

/// Puts a value into the record; a version is also the new floor.
fn store<V: Clone>(
    record: &mut Record<V>,
    now: Time,
    value: &V,
    token: Token,
    version: Option<Version>,
    ttl: Ttl,
) {
    record.stored = Some(Stored { value: value.clone(), token, version, life: Some(ttl) });
    record.floor = record.floor.max(version);
    record.live_for(ttl, now);
}

/// Whether nothing newer than `version` was heard of. What has no version passes every floor.
fn at_floor<V>(record: &Record<V>, version: Option<Version>) -> bool {
    version.is_none() || version >= record.floor
}

fn fill<V>(record: &mut Record<V>, lease: Lease, version: Option<Version>) -> Option<()> {
    if record.lease != Some(lease) || !at_floor(record, version) {
        return None;
    }
    record.lease = None;
    Some(())
}

fn refill<V>(
    record: &mut Record<V>,
    lease: Lease,
    stamp: Token,
    version: Option<Version>,
) -> Option<()> {
    let seen = record.stored.as_ref().filter(|stored| stored.token == stamp)?;
    if version.is_none() && seen.version.is_some() {
        return None;
    }
    fill(record, lease, version)
}

fn unlease<V>(record: &mut Record<V>, token: Token) -> Option<()> {
    record.lease.take_if(|lease| lease.token == token).map(drop)
}

fn commit<V>(record: &mut Record<V>, token: Token, deadline: Time) -> Option<()> {
    if record.alone != Some(token) || !record.holds(token, deadline) {
        return None;
    }
    record.reservations.clear();
    record.alone = None;
    Some(())
}

fn commit_versioned<V>(
    record: &mut Record<V>,
    token: Token,
    deadline: Time,
    version: Version,
) -> Option<()> {
    let only = record.reservations.len() == 1 && record.holds(token, deadline);
    if !only || !at_floor(record, Some(version)) {
        return None;
    }
    record.reservations.clear();
    record.alone = None;
    Some(())
}

fn release<V>(record: &mut Record<V>, now: Time, token: Token, version: Option<Version>, ttl: Ttl) {
    record.stored = None;
    record.lease = None;
    record.alone = None;
    if let Some(version) = version {
        record.raise_floor(version);
        record.reservations.remove(&token);
        record.live_for(ttl, now);
    } else {
        // Without a version the others of the overlap must be able to see that this one was there.
        record.reservations.remove(&token);
        record.mark_overlap();
    }
}

/// Where none of the reservations is there any more, nothing is written: a write would make a copy of
/// the record that was forgotten the newest there is, and bring its old value back.
fn abort<V>(record: &mut Record<V>, token: Token, previous: &[Token]) -> Option<()> {
    let own = |held: &Token| *held == token || previous.contains(held);
    let before = record.reservations.len();
    record.reservations.retain(|held, _| !own(held));
    record.alone.take_if(|held| own(held));
    (record.reservations.len() < before).then_some(())
}

fn invalidate<V>(
    record: &mut Record<V>,
    now: Time,
    version: Option<Version>,
    ttl: Ttl,
) -> Option<()> {
    if let Some(version) = version {
        let newest = record.floor.max(Some(version));
        // A value that is at least as new stays, and keeps its own time to live: hearing of it again
        // does not make it younger. Beside a value there is no lease and no writer to end.
        if record.stored.as_ref().is_some_and(|stored| stored.version >= newest) {
            return None;
        }
        record.floor = newest;
        record.live_for(ttl, now);
    } else {
        // A writer with a version does not know whether its own is the newer one.
        record.mark_overlap();
    }
    record.stored = None;
    record.lease = None;
    record.alone = None;
    Some(())
}

fn set<V>(record: &mut Record<V>, now: Time) -> Option<()> {
    if record.is_reserved(now) {
        return None;
    }
    record.lease = None;
    record.reservations.clear();
    record.alone = None;
    Some(())
}

fn replace<V>(record: &Record<V>, now: Time, stamp: Token) -> Option<()> {
    let seen = record.stored.as_ref().is_some_and(|stored| stored.token == stamp);
    (seen && !record.is_reserved(now)).then_some(())
}
