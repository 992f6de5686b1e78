using System.Runtime.ExceptionServices;
using Genfence.Native;
using Microsoft.Extensions.Logging;

namespace Genfence;

/// <summary>
/// The reservations of all keys that one transaction changes, in the order in which they were named, each key once. A reservation never
/// refuses and never waits for another writer's, so any number can be held, in any order, without a deadlock.
/// </summary>
/// <remarks>
/// Disposing of them unused leaves all to expire, as only the caller knows what became of the source, and it became of all keys
/// alike. One caller at a time, but for <see cref="Remaining"/>.
/// </remarks>
public sealed partial class Reservations : IDisposable
{
    /// <summary>The most keys of one transaction.</summary>
    internal const int Most = 10_000;

    private readonly GenfenceCache _cache;
    private readonly HashSet<CacheKey> _keys = new(CacheKeyComparer.Instance);
    private readonly List<CacheKey> _all = [];

    // Each is reserved once no copies of its value are served any more.
    private readonly bool _areSettled;

    // None as long as there are no keys.
    private ReservationHandle? _handle;

    internal Reservations(GenfenceCache cache, bool areSettled)
    {
        _cache = cache;
        _areSettled = areSettled;
    }

    /// <summary>The keys, in the order of their reservations.</summary>
    public IEnumerable<CacheKey> Keys => _all;

    /// <summary>How many keys there are.</summary>
    public int Count => _all.Count;

    /// <summary>
    /// The time left to change the source, the least of all: see <see cref="Reservation.Remaining"/>. Where there are no keys yet it is
    /// <see cref="TimeSpan.MaxValue"/>.
    /// </summary>
    public TimeSpan Remaining
    {
        get
        {
            if (_handle is not { } handle)
            {
                return TimeSpan.MaxValue;
            }
            var milliseconds = handle.Ask(Methods.gf_remaining_ms);
            // While the first are being reserved.
            return milliseconds > (ulong)TimeSpan.MaxValue.TotalMilliseconds ? TimeSpan.MaxValue : TimeSpan.FromMilliseconds(milliseconds);
        }
    }

    /// <summary>How long copies of any of the values may still be served: see <see cref="Reservation.Unsettled"/>.</summary>
    public TimeSpan Unsettled => _handle is { } handle ? TimeSpan.FromMilliseconds(handle.Ask(Methods.gf_unsettled_ms)) : TimeSpan.Zero;

    /// <summary>Whether all keys are held: see <see cref="Reservation.IsHeld"/>.</summary>
    public bool IsHeld { get; private set; } = true;

    /// <summary>
    /// Reserves more keys, of which those that are there already are left out. To be answered before COMMIT is <em>sent</em>. A value that was made
    /// of what was read before must not be committed under such a key, see <see cref="GenfenceCache.ReserveManyAsync"/>: it is released. Where there are
    /// copies, they are over when it is answered in <see cref="GenfenceCache.UpdateManyAsync"/>; else <see cref="SettledAsync"/> says when they are: COMMIT must not be
    /// sent before.
    /// </summary>
    /// <param name="keys">The keys; with those that are there at most 10,000.</param>
    /// <param name="cancellationToken">Ends the wait; what is reserved later is told of with the others.</param>
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
            if (_all.Count + added.Count > Most)
            {
                throw new GenfenceInvalidException("keys", $"keys: more than {Most} keys, must be 1 to {Most}");
            }
        }
        if (added.Count == 0)
        {
            return;
        }
        cancellationToken.ThrowIfCancellationRequested();
        var handle = _handle ??= _cache.NewReservation();
        Several.Name(handle, added);
        var reserve = new Request(Op.ReserveMany) { Reservation = handle, Flags = _areSettled ? Flags.Settled : 0 };
        var reserved = await _cache.Connection.Submit(reserve, cancellationToken).ConfigureAwait(false);
        try
        {
            reserved.ThrowIfFailed();
            IsHeld &= reserved.Detail == 0;
        }
        finally
        {
            reserved.Free();
        }
        _keys.UnionWith(added);
        _all.AddRange(added);
    }

    /// <inheritdoc cref="AddAsync(IEnumerable{CacheKey}, CancellationToken)"/>
    /// <param name="key">The key.</param>
    /// <param name="cancellationToken">Ends the wait; what is reserved later is told of with the others.</param>
    public ValueTask AddAsync(CacheKey key, CancellationToken cancellationToken = default) => AddAsync([key], cancellationToken);

    /// <summary>Waits until no copy of any of the values is served any more: see <see cref="Reservation.SettledAsync"/>.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>When it is over.</returns>
    public async ValueTask SettledAsync(CancellationToken cancellationToken = default)
    {
        // Most often nothing is to be waited for.
        if (Unsettled > TimeSpan.Zero)
        {
            (await UseAsync(Op.Settled, cancellationToken).ConfigureAwait(false)).MustBe(Status.Done);
        }
    }

    /// <summary>More time for all of them.</summary>
    /// <param name="cancellationToken">Ends the wait, not the renewals.</param>
    /// <returns>Whether there is for each; if not, it came too late: the source must not be changed any more.</returns>
    /// <exception cref="GenfenceStoreException">The store did not answer for one of them; its old time counts.</exception>
    public async ValueTask<bool> RenewAsync(CancellationToken cancellationToken = default) =>
        _handle is null || await UseAsync(Op.Renew, cancellationToken).ConfigureAwait(false) switch
        {
            Status.Done => true,
            Status.Lost => false,
            var other => throw Results.Unknown(other),
        };

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
            return [.. _all.Select(key => KeyValuePair.Create(key, UpdateOutcome.RolledBack))];
        }
        // Of what is wrong the others are told all the same.
        ExceptionDispatchInfo? problem = null;
        foreach (var (key, known) in results.Known)
        {
            try
            {
                Know(key, known(_cache), ref problem);
            }
#pragma warning disable CA1031 // It is thrown when all are told: a serializer may throw anything.
            catch (Exception thrown)
#pragma warning restore CA1031
            {
                problem ??= ExceptionDispatchInfo.Capture(thrown);
            }
        }
        if (_handle is not { } handle)
        {
            problem?.Throw();
            return [];
        }
        (await UseAsync(Op.CommitMany, CancellationToken.None).ConfigureAwait(false)).MustBe(Status.Done);
        problem?.Throw();
        // There may be more of them, which nobody waited for.
        var told = Several.Told(handle, isNamed: Methods.gf_reservation_count(handle) != (nuint)_all.Count);
        return [.. told.Where(one => one.Key.MaxBytes == 0 || _keys.Contains(one.Key))
            .Select((one, place) => KeyValuePair.Create(_all[place], Results.Outcome<UpdateOutcome>(one.Status)))];
    }

    private void Know(CacheKey key, in Known known, ref ExceptionDispatchInfo? problem)
    {
        if (_handle is not { } handle || !_keys.Contains(key))
        {
            throw new GenfenceInvalidException("key", $"key: {key.Told()} is not among the reserved ones");
        }
        Several.Know(handle, key, known);
        if (known.Cause is { } cause)
        {
            problem ??= ExceptionDispatchInfo.Capture(cause);
        }
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
    public async ValueTask AbortAsync(CancellationToken cancellationToken = default)
    {
        if (_handle is not null)
        {
            (await UseAsync(Op.Abort, cancellationToken).ConfigureAwait(false)).MustBe(Status.Done);
        }
    }

    /// <summary>Aborts them, also those that are being reserved, without anybody's waiting for it.</summary>
    internal async void GiveBack()
    {
        using (this)
        {
            try
            {
                await AbortAsync().ConfigureAwait(false);
            }
            catch (Exception problem) when (problem is GenfenceException or GenfenceShutDownException)
            {
                // They expire.
            }
        }
    }

    /// <summary>Leaves those to expire that were not used; that is logged.</summary>
    public void Dispose()
    {
        if (_handle is not { IsClosed: false } handle)
        {
            return;
        }
        var areLeft = IsHeld && _all.Count > 0 && handle.IsUnused;
        handle.Dispose();
        if (areLeft)
        {
            LeftToExpire(_cache.Logger);
        }
    }

    private async ValueTask<int> UseAsync(Op op, CancellationToken cancellation)
    {
        ObjectDisposedException.ThrowIf(_handle is { IsClosed: true }, this);
        return await _cache.Connection.StatusAsync(new Request(op) { Reservation = _handle }, cancellation).ConfigureAwait(false);
    }

    [LoggerMessage(26, LogLevel.Warning, "reservations were left to expire; commit, release or abort them to free their keys")]
    private static partial void LeftToExpire(ILogger logger);
}
