namespace Genfence;

internal enum SourceState
{
    // First, so that a forgotten result does not pass for a commit: it is refused.
    None,
    Committed,
    Changed,
    RolledBack,
}

/// <summary>
/// What became of the source, as the closure of
/// <see cref="GenfenceCache.UpdateAsync(CacheKey, Func{Reservation, CancellationToken, ValueTask{SourceResult}}, CancellationToken)"/>
/// reports it; and the makers of <see cref="SourceResult{T}"/>.
/// </summary>
public readonly struct SourceResult
{
    internal SourceResult(SourceState state, long? version = null, Exception? cause = null)
    {
        State = state;
        Version = version;
        Cause = cause;
    }

    internal SourceState State { get; }

    internal Exception? Cause { get; }

    internal long? Version { get; }

    /// <summary>It was certainly not changed, and will not be.</summary>
    public static SourceResult RolledBack { get; } = new(SourceState.RolledBack);

    /// <summary>
    /// It was certainly not changed, and will not be, because of this exception, which <c>UpdateAsync</c> throws once
    /// the reservation is aborted.
    /// </summary>
    /// <remarks>
    /// For a <c>catch</c> around all that comes before the COMMIT is sent. Of a COMMIT that failed nobody knows
    /// whether it was done: let its exception pass, and the reservation expires.
    /// </remarks>
    /// <param name="cause">Why.</param>
    public static SourceResult RolledBackBy(Exception cause)
    {
        ArgumentNullException.ThrowIfNull(cause);
        return new(SourceState.RolledBack, cause: cause);
    }

    /// <summary>It was changed and committed, and now has nothing for this key.</summary>
    /// <param name="version">The version that the source gave the change, where it has versions.</param>
    public static SourceResult Deleted(long? version = null) => new(SourceState.Committed, version);

    /// <summary>It was changed and committed; the value is not at hand.</summary>
    /// <param name="version">The version that the source gave the change, where it has versions.</param>
    public static SourceResult Changed(long? version = null) => new(SourceState.Changed, version);

    /// <summary>It was changed and committed, and the key now has this value.</summary>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="value">The value; <see langword="null"/> says that the source has nothing now.</param>
    /// <param name="version">The version that the source gave the change, where it has versions.</param>
    /// <param name="timeToLive">How long to keep it, rounded up to whole seconds; else the cache's own time.</param>
    public static SourceResult<T> Committed<T>(T value, long? version = null, TimeSpan? timeToLive = null) =>
        new(SourceState.Committed, new Fresh<T>(value, version, timeToLive));
}

/// <summary>What became of the source, with its new value where it is at hand.</summary>
/// <typeparam name="T">The value's type.</typeparam>
public readonly struct SourceResult<T>
{
    internal SourceResult(SourceState state, Fresh<T> fresh, bool gone = false, Exception? cause = null)
    {
        State = state;
        Fresh = fresh;
        Gone = gone;
        Cause = cause;
    }

    internal SourceState State { get; }

    internal Fresh<T> Fresh { get; }

    internal Exception? Cause { get; }

    /// <summary>Nothing, also where no value of <typeparamref name="T"/> says so.</summary>
    internal bool Gone { get; }

    /// <summary>A result without a value: changed, deleted, or rolled back.</summary>
    /// <param name="result">The result.</param>
    public static implicit operator SourceResult<T>(SourceResult result) =>
        new(result.State, new Fresh<T>(default!, result.Version), gone: true, result.Cause);
}
