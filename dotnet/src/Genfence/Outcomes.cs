using Genfence.Native;

namespace Genfence;

// What a call comes to is the number that the native library answers with.
#pragma warning disable CA1008 // 0 is no outcome of most.

/// <summary>What became of a fill.</summary>
public enum FillOutcome
{
    /// <summary>The value is in the cache.</summary>
    Stored = Status.Stored,

    /// <summary>The race was lost: nothing was stored. <see cref="Lease.Refusal"/> says why.</summary>
    Rejected = Status.Rejected,

    /// <summary>The value is larger than the option <c>max_value_bytes</c>: nothing was stored, and the lease is given back.</summary>
    TooLarge = Status.TooLarge,

    /// <summary>The store did not answer. It may have been applied, or may still be; it is safe either way.</summary>
    InDoubt = Status.InDoubt,
}

/// <summary>What became of a commit.</summary>
public enum CommitOutcome
{
    /// <summary>The value is in the cache.</summary>
    Stored = Status.Stored,

    /// <summary>Another writer was there too. The key is empty, and the next reader fills it.</summary>
    Purged = Status.Purged,

    /// <summary>The value is larger than the option <c>max_value_bytes</c>: the key was released, and is empty.</summary>
    TooLarge = Status.TooLarge,

    /// <summary>The store did not answer. The key is bypassed until the reservation expires.</summary>
    InDoubt = Status.InDoubt,
}

/// <summary>What became of a release.</summary>
public enum ReleaseOutcome
{
    /// <summary>The key is empty, and the next reader fills it.</summary>
    Purged = Status.Purged,

    /// <summary>The store did not answer. The key is bypassed until the reservation expires.</summary>
    InDoubt = Status.InDoubt,
}

/// <summary>What became of an update.</summary>
public enum UpdateOutcome
{
    /// <summary>The source was changed; the new value is in the cache.</summary>
    Stored = Status.Stored,

    /// <summary>The source was changed; the key is empty, and the next reader fills it.</summary>
    Purged = Status.Purged,

    /// <summary>
    /// The source was changed; the new value is larger than the option <c>max_value_bytes</c>: the key is empty.
    /// </summary>
    TooLarge = Status.TooLarge,

    /// <summary>
    /// The source was changed; the cache did not answer. The key is bypassed until the reservation
    /// expires.
    /// </summary>
    InDoubt = Status.InDoubt,

    /// <summary>The source was not changed. The key is empty, as the reserve removed the value.</summary>
    RolledBack = Status.Done,
}

/// <summary>What became of a set.</summary>
public enum SetOutcome
{
    /// <summary>The value is in the cache; the last set wins.</summary>
    Stored = Status.Stored,

    /// <summary>A writer holds the key: nothing was stored.</summary>
    Busy = Status.Busy,

    /// <summary>The value is larger than the option <c>max_value_bytes</c>: nothing was sent.</summary>
    TooLarge = Status.TooLarge,

    /// <summary>The store did not answer. It may have been applied, or may still be.</summary>
    InDoubt = Status.InDoubt,
}

/// <summary>What became of a replace.</summary>
public enum ReplaceOutcome
{
    /// <summary>The value is in the cache.</summary>
    Stored = Status.Stored,

    /// <summary>The cache no longer holds the value that was to be replaced, or a writer holds the key.</summary>
    Conflict = Status.Conflict,

    /// <summary>The value is larger than the option <c>max_value_bytes</c>: nothing was sent.</summary>
    TooLarge = Status.TooLarge,

    /// <summary>The store did not answer. It may have been applied, or may still be.</summary>
    InDoubt = Status.InDoubt,
}

/// <summary>What became of a touch.</summary>
public enum TouchOutcome
{
    /// <summary>The value lives for the new time.</summary>
    Done = Status.Done,

    /// <summary>The cache holds no value of this key.</summary>
    Missing = Status.Miss,
}

/// <summary>What a lookup found.</summary>
public enum LookupKind
{
    /// <summary>Read the source, and store nothing: <see cref="LookupResult.Bypass"/> says why.</summary>
    Bypass,

    /// <summary>There is a value, or the source is known to have none.</summary>
    Hit,

    /// <summary>
    /// This caller, and nobody else in all processes, should read the source now and fill:
    /// <see cref="LookupResult.Lease"/>.
    /// </summary>
    Leased,
}

/// <summary>Why a lookup was bypassed.</summary>
public enum BypassReason
{
    /// <summary>It was not.</summary>
    None,

    /// <summary>A writer holds the key.</summary>
    Reserved,

    /// <summary>Somebody else's fill takes longer than the option <c>wait</c>, or the caller waits for none.</summary>
    Slow,

    /// <summary>The store gave no answer.</summary>
    Unreachable,
}

/// <summary>Why a fill was rejected.</summary>
public enum FillRefusal
{
    /// <summary>It was not.</summary>
    None,

    /// <summary>There is no record any more: it was evicted, expired, or was removed.</summary>
    Missing,

    /// <summary>The record was written since: by a writer, an invalidation, another fill.</summary>
    Generation,

    /// <summary>The lease is not on the record any more, or the value's version is below what was heard of the key.</summary>
    Condition,
}

/// <summary>How a reservation stands in a region.</summary>
public enum RegionOutcome
{
    /// <summary>The key is reserved there: no stale value is served.</summary>
    Fenced = 1,

    /// <summary>
    /// The region did not answer, and the reserve went on without it (<see cref="GenfenceSettings.UnreachableReserve"/> for the
    /// own one, <see cref="GenfenceSettings.Unreachable"/> for others): it may serve the old value until it hears of the change.
    /// </summary>
    LeftOut = 2,

    /// <summary>
    /// The region serves nothing: its lease is over, and it takes a new epoch before it serves again
    /// (<see cref="UnreachableRegion.Wait"/>).
    /// </summary>
    Out = 3,
}

/// <summary>A region, and how a reservation stands there.</summary>
/// <param name="Region">The name of the region.</param>
/// <param name="Outcome">How it stands.</param>
public readonly record struct FencedRegion(string Region, RegionOutcome Outcome);
