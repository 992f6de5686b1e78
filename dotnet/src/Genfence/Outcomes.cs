namespace Genfence;

/// <summary>What became of a fill.</summary>
public enum FillOutcome
{
    /// <summary>The value is in the cache.</summary>
    Stored,

    /// <summary>The race was lost: nothing was stored.</summary>
    Rejected,

    /// <summary>Nobody answered. It may have been applied, or may still be; it is safe either way.</summary>
    InDoubt,
}

/// <summary>What became of a commit.</summary>
public enum CommitOutcome
{
    /// <summary>The value is in the cache.</summary>
    Stored,

    /// <summary>Another writer was there too. The key is empty, and the next reader fills it.</summary>
    Purged,

    /// <summary>Nobody answered. The key is bypassed until the reservation expires.</summary>
    InDoubt,
}

/// <summary>What became of a release.</summary>
public enum ReleaseOutcome
{
    /// <summary>The key is empty, and the next reader fills it.</summary>
    Purged,

    /// <summary>Nobody answered. The key is bypassed until the reservation expires.</summary>
    InDoubt,
}

/// <summary>What became of an update.</summary>
public enum UpdateOutcome
{
    /// <summary>The source was changed; the new value is in the cache.</summary>
    Stored,

    /// <summary>The source was changed; the key is empty, and the next reader fills it.</summary>
    Purged,

    /// <summary>
    /// The source was changed; the cache did not answer. The key is bypassed until the reservation
    /// expires.
    /// </summary>
    InDoubt,

    /// <summary>The source was not changed. The key is empty, as the reserve removed the value.</summary>
    RolledBack,
}

/// <summary>What became of a set.</summary>
public enum SetOutcome
{
    /// <summary>The value is in the cache; the last set wins.</summary>
    Stored,

    /// <summary>A writer holds the key: nothing was stored.</summary>
    Busy,

    /// <summary>Nobody answered. It may have been applied, or may still be.</summary>
    InDoubt,
}

/// <summary>What became of a replace.</summary>
public enum ReplaceOutcome
{
    /// <summary>The value is in the cache.</summary>
    Stored,

    /// <summary>The cache no longer holds the value that was to be replaced, or a writer holds the key.</summary>
    Conflict,

    /// <summary>Nobody answered. It may have been applied, or may still be.</summary>
    InDoubt,
}

/// <summary>What became of a touch.</summary>
public enum TouchOutcome
{
    /// <summary>The value lives for the new time.</summary>
    Done,

    /// <summary>The cache holds no value of this key.</summary>
    Missing,
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
    Lease,
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
