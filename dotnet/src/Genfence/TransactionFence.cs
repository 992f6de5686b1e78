using Microsoft.Extensions.Logging;

namespace Genfence;

/// <summary>
/// The keys that one transaction of a database changes, from before its first statement until it is known what became of it. Keys are named while it
/// runs; they are reserved in the last moment before COMMIT is sent, so that readers keep their hits until then, and a transaction that is rolled
/// back has not touched the cache. <c>TransactionAsync</c> makes one and uses it; who writes a door for a library of their own calls, in this order,
/// <see cref="Add(CacheKey)"/>, <see cref="CommittingAsync"/>, and what became of COMMIT: <see cref="CommittedAsync"/>,
/// <see cref="FailedAsync"/>, or <see cref="RolledBackAsync"/> where none was sent.
/// </summary>
/// <remarks>
/// Disposing of it unused leaves what was reserved to expire: nobody knows what became of the source. One caller at a time, but for
/// <see cref="Remaining"/>.
/// </remarks>
public sealed partial class TransactionFence : IDisposable
{
    private readonly GenfenceCache _cache;
    private readonly Reservations _reservations;
    private readonly HashSet<CacheKey> _named = new(CacheKeyComparer.Instance);
    private readonly List<CacheKey> _later = [];
    private readonly SourceResults _results = SourceResults.Changed();
    private TimeSpan _granted;
    private bool _isOver;

    internal TransactionFence(GenfenceCache cache)
    {
        _cache = cache;
        _reservations = new Reservations(cache, areSettled: true);
    }

    /// <summary>How many keys were named.</summary>
    public int Count => _named.Count;

    /// <summary>The keys, in the order in which they were named.</summary>
    public IEnumerable<CacheKey> Keys => _reservations.Keys.Concat(_later);

    /// <summary>
    /// The time left to change the source: see <see cref="Reservations.Remaining"/>. <see cref="TimeSpan.MaxValue"/> while nothing is reserved.
    /// </summary>
    public TimeSpan Remaining => _reservations.Remaining;

    /// <summary>A key whose source this transaction changes. It is reserved before COMMIT, if not already.</summary>
    /// <param name="key">The key.</param>
    /// <exception cref="GenfenceInvalidException">It is one more than 10,000.</exception>
    public void Add(CacheKey key)
    {
        ThrowIfOver();
        if (_named.Contains(key))
        {
            return;
        }
        if (_named.Count == Reservations.Most)
        {
            throw new GenfenceInvalidException("keys", $"keys: more than {Reservations.Most} keys, must be 1 to {Reservations.Most}");
        }
        // Bytes may change once this call has returned.
        var owned = key.Owned();
        _named.Add(owned);
        _later.Add(owned);
    }

    /// <inheritdoc cref="Add(CacheKey)"/>
    /// <param name="keys">The keys.</param>
    public void Add(IEnumerable<CacheKey> keys)
    {
        ArgumentNullException.ThrowIfNull(keys);
        foreach (var key in keys)
        {
            Add(key);
        }
    }

    /// <summary>
    /// Reserves now what was named so far, once no copies of the values are served any more, and gives what was reserved before more time where less than
    /// half of it is left. Whoever sets a value of what the transaction reads calls it before it reads.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait; what is reserved later is aborted.</param>
    /// <returns>When all are reserved.</returns>
    /// <exception cref="GenfenceInvalidException">A key is out of bounds: nothing was sent.</exception>
    /// <exception cref="GenfenceStoreException">One could not be reserved: the source must not be changed.</exception>
    public async ValueTask ReserveAsync(CancellationToken cancellationToken = default)
    {
        ThrowIfOver();
        if (_reservations.Count > 0 && _reservations.Remaining < _granted / 2)
        {
            // One that comes too late is told of by the time that is left.
            _ = await _reservations.RenewAsync(cancellationToken).ConfigureAwait(false);
        }
        if (_later.Count == 0)
        {
            return;
        }
        var isFirst = _reservations.Count == 0;
        await _reservations.AddAsync(_later, cancellationToken).ConfigureAwait(false);
        _later.Clear();
        if (isFirst)
        {
            _granted = _reservations.Remaining;
        }
    }

    /// <summary>
    /// The key has this value once the transaction has committed. The key was reserved before anything was read that the value is made of: see
    /// <see cref="ReserveAsync"/>. Else a writer of another row of the same value could have changed it since, and it would be stored without that change.
    /// </summary>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="value">The value, which is written to bytes now; <see langword="null"/> says that the source has nothing then.</param>
    /// <param name="version">The version that the source gave the change, where it has versions.</param>
    /// <param name="timeToLive">How long to keep it, rounded up to whole seconds; else the cache's own time.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <exception cref="InvalidOperationException">The key is not reserved yet.</exception>
    /// <exception cref="GenfenceInvalidException">The version or the time to live is out of bounds.</exception>
    public void Set<T>(
        CacheKey key, T value, long? version = null, TimeSpan? timeToLive = null, IGenfenceSerializer<T>? serializer = null)
    {
        if (!_named.Contains(key) || _later.Contains(key, CacheKeyComparer.Instance))
        {
            throw new InvalidOperationException(
                $"{key.Told()} is not reserved yet, so the value may be made of what was read too early: Add it and await ReserveAsync() before it is read; "
                + "or, where it is made of nothing but rows that this transaction has changed and returned, use SetOfChangedRows");
        }
        Know(key, value, version, timeToLive, serializer);
    }

    /// <summary>
    /// The key has this value once the transaction has committed, and it is made of <em>nothing but</em> rows that this transaction has changed, as
    /// they are after that (<c>UPDATE … RETURNING *</c>, an insert): its locks hold them, so it need not be reserved yet.
    /// </summary>
    /// <inheritdoc cref="Set"/>
    public void SetOfChangedRows<T>(
        CacheKey key, T value, long? version = null, TimeSpan? timeToLive = null, IGenfenceSerializer<T>? serializer = null)
    {
        Add(key);
        Know(key, value, version, timeToLive, serializer);
    }

    private void Know<T>(CacheKey key, T value, long? version, TimeSpan? timeToLive, IGenfenceSerializer<T>? serializer)
    {
        ThrowIfOver();
        var written = GenfenceCache.Written(value, version, timeToLive, serializer ?? _cache.Serializer<T>());
        _results.Say(key, _ => written);
    }

    /// <summary>Nothing is known of the values of these keys any more: they are released.</summary>
    internal void Forget(IEnumerable<CacheKey> keys)
    {
        foreach (var key in keys)
        {
            _results.Known.Remove(key);
        }
    }

    /// <summary>Nothing is known of any value any more.</summary>
    internal void ForgetAll() => _results.Known.Clear();

    /// <summary>Why it must not be committed: keys of what was changed already could not be named.</summary>
    internal Exception? Refused { get; set; }

    /// <summary>Whether it was told what became of the transaction.</summary>
    internal bool IsOver => _isOver;

    /// <summary>
    /// COMMIT is about to be sent: reserves what is not reserved yet. Where it throws, COMMIT must not be sent. What is sent then must be over within
    /// <see cref="Remaining"/>.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>When COMMIT may be sent.</returns>
    /// <exception cref="GenfenceTransactionTimeoutException">The transaction has taken longer than its reservations last.</exception>
    /// <inheritdoc cref="ReserveAsync"/>
    public async ValueTask CommittingAsync(CancellationToken cancellationToken = default)
    {
        if (Refused is { } problem)
        {
            throw new InvalidOperationException($"the transaction must not be committed, as not all of the keys that it changes are known: {problem.Message}", problem);
        }
        await ReserveAsync(cancellationToken).ConfigureAwait(false);
        if (Remaining == TimeSpan.Zero)
        {
            throw new GenfenceTransactionTimeoutException();
        }
    }

    /// <summary>
    /// COMMIT was done. Keys with a value get it, the others are released: the next readers fill. Never fails: where the cache does not answer the keys are
    /// bypassed until the reservations expire.
    /// </summary>
    /// <returns>What became of each key, in the order in which they were reserved; empty where the cache was closed.</returns>
    public async ValueTask<IReadOnlyList<KeyValuePair<CacheKey, UpdateOutcome>>> CommittedAsync()
    {
        End();
        try
        {
            return await _reservations.CommitAsync(_results).ConfigureAwait(false);
        }
        catch (Exception problem) when (problem is GenfenceException or GenfenceShutDownException)
        {
            // The database has committed: who reads of an exception would believe that it has not.
            NotTold(_cache.Logger, problem);
            return [];
        }
        finally
        {
            _reservations.Dispose();
        }
    }

    /// <summary>COMMIT was certainly not sent, and will not be. Never fails.</summary>
    /// <returns>When what was reserved is given back.</returns>
    public async ValueTask RolledBackAsync()
    {
        End();
        try
        {
            await _reservations.AbortAsync().ConfigureAwait(false);
        }
        catch (Exception problem) when (problem is GenfenceException or GenfenceShutDownException)
        {
            NotTold(_cache.Logger, problem);
        }
        finally
        {
            _reservations.Dispose();
        }
    }

    /// <summary>
    /// It may have been committed without its reservations, and is over now: what the cache has of all keys is gone when this returns, as far as the cache answers.
    /// Never fails.
    /// </summary>
    internal async ValueTask ChangedAsync()
    {
        try
        {
            await ReserveAsync().ConfigureAwait(false);
        }
        catch (Exception problem) when (problem is GenfenceException or GenfenceShutDownException)
        {
            NotTold(_cache.Logger, problem);
        }
        ForgetAll();
        _ = await CommittedAsync().ConfigureAwait(false);
    }

    /// <summary>
    /// COMMIT, or a statement outside of a transaction, was sent, and failed so. Where the database says for certain that nothing was changed (a constraint,
    /// a deadlock, a serialization failure) what was reserved is given back; else nobody knows, and it is left to expire. Never fails.
    /// </summary>
    /// <param name="problem">What was thrown.</param>
    /// <returns>When it is done.</returns>
    public ValueTask FailedAsync(Exception problem)
    {
        ArgumentNullException.ThrowIfNull(problem);
        if (DatabaseErrors.IsRolledBack(problem))
        {
            return RolledBackAsync();
        }
        Dispose();
        return default;
    }

    /// <summary>Leaves to expire what was reserved and not told of; that is logged.</summary>
    public void Dispose()
    {
        _isOver = true;
        _reservations.Dispose();
    }

    private void End()
    {
        ThrowIfOver();
        _isOver = true;
    }

    private void ThrowIfOver() => ObjectDisposedException.ThrowIf(_isOver, this);

    [LoggerMessage(25, LogLevel.Warning, "the cache could not be told what became of a transaction; its keys are bypassed until the reservations expire")]
    private static partial void NotTold(ILogger logger, Exception problem);
}
