using System.Runtime.ExceptionServices;

namespace Genfence;

/// <summary>
/// What became of the source of several keys, as the closure of <see cref="GenfenceCache.UpdateManyAsync"/> reports it:
/// <c>SourceResults.Changed().With("order:1", order)</c>. One caller at a time.
/// </summary>
public sealed class SourceResults
{
    private SourceResults(bool isRolledBack, Exception? cause = null)
    {
        IsRolledBack = isRolledBack;
        Cause = cause is null ? null : ExceptionDispatchInfo.Capture(cause);
    }

    internal bool IsRolledBack { get; }

    internal ExceptionDispatchInfo? Cause { get; }

    internal Dictionary<CacheKey, Func<GenfenceCache, Known>> Known { get; } =
        new(CacheKeyComparer.Instance);

    /// <summary>It was certainly not changed, and will not be.</summary>
    public static SourceResults RolledBack { get; } = new(isRolledBack: true);

    /// <summary>
    /// It was certainly not changed, and will not be, because of this exception, which <c>UpdateManyAsync</c> throws once the
    /// reservations are aborted: see <see cref="SourceResult.RolledBackBy"/>.
    /// </summary>
    /// <param name="cause">Why.</param>
    public static SourceResults RolledBackBy(Exception cause)
    {
        ArgumentNullException.ThrowIfNull(cause);
        return new(isRolledBack: true, cause);
    }

    /// <summary>It was changed and committed. Keys of which no more is said are released.</summary>
    public static SourceResults Changed() => new(isRolledBack: false);

    /// <summary>The same, and this key has this value now.</summary>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="value">The value; <see langword="null"/> says that the source has nothing now.</param>
    /// <param name="version">The version that the source gave the change, where it has versions.</param>
    /// <param name="timeToLive">How long to keep it, rounded up to whole seconds; else the cache's own time.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <returns>These results.</returns>
    public SourceResults With<T>(
        CacheKey key, T value, long? version = null, TimeSpan? timeToLive = null, IGenfenceSerializer<T>? serializer = null)
    {
        return With(key, SourceResult.Committed(value, version, timeToLive), serializer);
    }

    /// <summary>The same, and this is what is known of this key.</summary>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="result">What is known.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <returns>These results.</returns>
    public SourceResults With<T>(CacheKey key, SourceResult<T> result, IGenfenceSerializer<T>? serializer = null) =>
        Say(key, cache => Genfence.Known.Of(result, serializer ?? cache.Serializer<T>()));

    /// <summary>The same, and this is what is known of this key: its version, or that it has nothing now, or that it was certainly not changed.</summary>
    /// <param name="key">The key.</param>
    /// <param name="result">What is known.</param>
    /// <returns>These results.</returns>
    public SourceResults With(CacheKey key, SourceResult result) =>
        Say(key, _ => Genfence.Known.Of<byte[]>(result, GenfenceSerializer.Bytes));

    internal SourceResults Say(CacheKey key, Func<GenfenceCache, Known> told)
    {
        if (IsRolledBack)
        {
            throw new InvalidOperationException("nothing was changed where it was rolled back; begin with SourceResults.Changed()");
        }
        Known[key.Owned()] = told;
        return this;
    }
}
