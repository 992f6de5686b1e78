using System.Runtime.ExceptionServices;

namespace Genfence;

/// <summary>
/// The reservations of all keys that one transaction changes, in the order in which they were named, each key once. A reservation never
/// refuses and never waits for another writer's, so any number can be held, in any order, without a deadlock.
/// </summary>
/// <remarks>
/// Disposing of them unused leaves all to expire, as only the caller knows what became of the source, and it became of all keys
/// alike. One caller at a time, but for <see cref="Remaining"/>.
/// </remarks>
public sealed class Reservations : IDisposable
{
    /// <summary>The most keys of one transaction.</summary>
    internal const int Most = 10_000;

    private readonly GenfenceCache _cache;
    // Another one for each that is added, as another thread may ask what is left.
    private KeyValuePair<CacheKey, Reservation>[] _all = [];
    private readonly HashSet<CacheKey> _keys = new(CacheKeyComparer.Instance);

    // Each is reserved once no copies of its value are served any more.
    private readonly bool _areSettled;

    internal Reservations(GenfenceCache cache, bool areSettled)
    {
        _cache = cache;
        _areSettled = areSettled;
    }

    /// <summary>The keys, in the order of their reservations.</summary>
    public IEnumerable<CacheKey> Keys => _all.Select(one => one.Key);

    /// <summary>How many keys there are.</summary>
    public int Count => _all.Length;

    /// <summary>
    /// The time left to change the source, the least of all: see <see cref="Reservation.Remaining"/>. Where there are no keys yet it is
    /// <see cref="TimeSpan.MaxValue"/>.
    /// </summary>
    public TimeSpan Remaining => _all is { Length: > 0 } all ? all.Min(one => one.Value.Remaining) : TimeSpan.MaxValue;

    /// <summary>How long copies of any of the values may still be served: see <see cref="Reservation.Unsettled"/>.</summary>
    public TimeSpan Unsettled => _all is { Length: > 0 } all ? all.Max(one => one.Value.Unsettled) : TimeSpan.Zero;

    /// <summary>Whether all keys are held: see <see cref="Reservation.IsHeld"/>.</summary>
    public bool IsHeld => Array.TrueForAll(_all, one => one.Value.IsHeld);

    /// <summary>
    /// Reserves more keys, of which those that are there already are left out. To be answered before COMMIT is <em>sent</em>. A value that was made
    /// of what was read before must not be committed under such a key, see <see cref="GenfenceCache.ReserveManyAsync"/>: it is released. Where there are
    /// copies, they are over when it is answered in <see cref="GenfenceCache.UpdateManyAsync"/>; else <see cref="SettledAsync"/> says when they are: COMMIT must not be
    /// sent before.
    /// </summary>
    /// <param name="keys">The keys; with those that are there at most 10,000.</param>
    /// <param name="cancellationToken">Ends the wait; what is reserved later is aborted.</param>
    /// <returns>When all are held. After an exception none of them is, and the others still are.</returns>
    /// <exception cref="GenfenceInvalidException">A key, or their number, is out of bounds: nothing was sent.</exception>
    /// <exception cref="GenfenceStoreException">One could not be reserved, which is named.</exception>
    public async ValueTask AddAsync(IEnumerable<CacheKey> keys, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(keys);
        var named = new HashSet<CacheKey>(CacheKeyComparer.Instance);
        var added = new List<CacheKey>();
        foreach (var key in keys)
        {
            if (!_keys.Contains(key) && named.Add(key))
            {
                // Bytes may change once this call has returned.
                added.Add(key.Owned());
            }
            if (_all.Length + added.Count > Most)
            {
                throw new GenfenceInvalidException("keys", $"keys: more than {Most} keys, must be 1 to {Most}");
            }
        }
        var reserved = await _cache.ReserveAllAsync([.. added], _areSettled, cancellationToken).ConfigureAwait(false);
        _keys.UnionWith(added);
        _all = [.. _all, .. added.Zip(reserved, KeyValuePair.Create)];
    }
    /// <inheritdoc cref="AddAsync(IEnumerable{CacheKey}, CancellationToken)"/>
    /// <param name="key">The key.</param>
    /// <param name="cancellationToken">Ends the wait; what is reserved later is aborted.</param>
    public ValueTask AddAsync(CacheKey key, CancellationToken cancellationToken = default) => AddAsync([key], cancellationToken);

    /// <summary>Waits until no copy of any of the values is served any more: see <see cref="Reservation.SettledAsync"/>.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>When it is over.</returns>
    public async ValueTask SettledAsync(CancellationToken cancellationToken = default)
    {
        // The longest is the wait of all.
        foreach (var (_, reservation) in _all)
        {
            await reservation.SettledAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>More time for all of them.</summary>
    /// <param name="cancellationToken">Ends the wait, not the renewals.</param>
    /// <returns>Whether there is for each; if not, it came too late: the source must not be changed any more.</returns>
    /// <exception cref="GenfenceStoreException">The store did not answer for one of them; its old time counts.</exception>
    public async ValueTask<bool> RenewAsync(CancellationToken cancellationToken = default)
    {
        var renewed = await EachAsync(reservation => reservation.RenewAsync(cancellationToken)).ConfigureAwait(false);
        return Array.TrueForAll(renewed, one => one);
    }

    /// <summary>
    /// The source was changed, and committed; what is known of each key. Those that are not named in the results are released. Every key is told,
    /// whatever is wrong with another. Uses them up.
    /// </summary>
    /// <param name="results">What became of the source.</param>
    /// <returns>What became of each key, in the order of the reservations.</returns>
    /// <exception cref="GenfenceInvalidException">
    /// A key is not among these; or a version or a time to live is out of bounds: the key was released. What a serializer throws for a value that it
    /// cannot write is thrown on; its key is released, too.
    /// </exception>
    public async ValueTask<IReadOnlyList<KeyValuePair<CacheKey, UpdateOutcome>>> CommitAsync(SourceResults results)
    {
        ArgumentNullException.ThrowIfNull(results);
        if (results.IsRolledBack)
        {
            await AbortAsync().ConfigureAwait(false);
            results.Cause?.Throw();
            return [.. _all.Select(one => KeyValuePair.Create(one.Key, UpdateOutcome.RolledBack))];
        }
        var outcomes = await EachAsync(
            (key, reservation) => results.Known.TryGetValue(key, out var told)
                ? told(_cache, reservation)
                : GenfenceCache.ToldAsync(reservation, SourceResult.Changed(), GenfenceSerializer.Bytes)).ConfigureAwait(false);
        foreach (var key in results.Known.Keys)
        {
            if (!_keys.Contains(key))
            {
                throw new GenfenceInvalidException("key", $"key: {key.Told()} is not among the reserved ones");
            }
        }
        return [.. outcomes.Select((outcome, place) => KeyValuePair.Create(_all[place].Key, outcome))];
    }

    /// <summary>The source was changed, and committed, and nothing is stored: the next readers fill. Uses them up.</summary>
    /// <returns>What became of each key, in the order of the reservations.</returns>
    public ValueTask<IReadOnlyList<KeyValuePair<CacheKey, UpdateOutcome>>> ReleaseAsync() => CommitAsync(SourceResults.Changed());

    /// <summary>
    /// The source was certainly not changed, and will not be. Where you do not know what became of a COMMIT, dispose of the reservations
    /// instead, and they expire. Uses them up.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait, not the aborts.</param>
    /// <returns>When it is done.</returns>
    public async ValueTask AbortAsync(CancellationToken cancellationToken = default) =>
        _ = await EachAsync(async reservation =>
        {
            await reservation.AbortAsync(cancellationToken).ConfigureAwait(false);
            return true;
        }).ConfigureAwait(false);

    /// <summary>Leaves those to expire that were not used; that is logged.</summary>
    public void Dispose()
    {
        foreach (var (_, reservation) in _all)
        {
            reservation.Dispose();
        }
    }

    private Task<T[]> EachAsync<T>(Func<Reservation, ValueTask<T>> use) => EachAsync((_, reservation) => use(reservation));

    /// <summary>All are begun before one is waited for, and have ended when the first exception is thrown.</summary>
    private async Task<T[]> EachAsync<T>(Func<CacheKey, Reservation, ValueTask<T>> use)
    {
        var begun = Array.ConvertAll(_all, one => BegunAsync(use, one));
        var each = new T[begun.Length];
        ExceptionDispatchInfo? problem = null;
        for (var i = 0; i < each.Length; i++)
        {
            try
            {
                each[i] = await begun[i].ConfigureAwait(false);
            }
#pragma warning disable CA1031 // It is thrown when the others have ended: a serializer may throw anything.
            catch (Exception thrown)
#pragma warning restore CA1031
            {
                problem ??= ExceptionDispatchInfo.Capture(thrown);
            }
        }
        problem?.Throw();
        return each;
    }

    private static async Task<T> BegunAsync<T>(
        Func<CacheKey, Reservation, ValueTask<T>> use, KeyValuePair<CacheKey, Reservation> one) =>
        await use(one.Key, one.Value).ConfigureAwait(false);
}
