using System.Buffers;
using System.Runtime.ExceptionServices;
using Genfence.Native;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Genfence.Extensions.Caching;

/// <summary>
/// Bytes for those who bring a cache logic of their own: sessions, FusionCache, Microsoft's HybridCache. A value begins
/// with its expirations: see <see cref="Expiry"/>.
/// </summary>
/// <remarks>
/// A set stores, or throws; the last one wins. A get or a refresh that the store does not answer throws, whatever the option
/// <c>unreachable_read</c> says: a session that seems not to be there would be begun anew, and written over the one that is.
/// Where misses are guarded, a get that misses takes a lease, and which set is
/// its fill, and which is unconditional, <see cref="Misses"/> knows. A get waits for nobody's fill: nothing obliges a caller that
/// missed to set, and each other caller would then wait for the whole option <c>wait</c>.
/// </remarks>
internal sealed partial class GenfenceDistributedCache(
    GenfenceCache cache, TimeProvider time, bool guardMisses = false, ILogger? logger = null)
    : IBufferDistributedCache, IDisposable
{
    private readonly Misses? _misses = guardMisses ? new(time) : null;
    private readonly DroppedSets? _dropped = guardMisses ? DroppedSets.Of(cache.Name) : null;
    private readonly ILogger _logger = logger ?? NullLogger.Instance;

    public byte[]? Get(string key)
    {
        using var here = Blocking.Begin();
        return Now(GetAsync(key));
    }

    public async Task<byte[]?> GetAsync(string key, CancellationToken token = default)
    {
        var target = new ArrayBufferWriter<byte>();
        return await TryGetAsync(key, target, token).ConfigureAwait(false) ? target.WrittenSpan.ToArray() : null;
    }

    public bool TryGet(string key, IBufferWriter<byte> destination)
    {
        using var here = Blocking.Begin();
        return Now(TryGetAsync(key, destination).AsTask());
    }

    public async ValueTask<bool> TryGetAsync(
        string key, IBufferWriter<byte> destination, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(key);
        ArgumentNullException.ThrowIfNull(destination);
        var reader = new Reader(destination, time);
        try
        {
            var expiry = await ReadAsync(key, reader, token).ConfigureAwait(false);
            if (reader.HasRead)
            {
                await TrySlideAsync(key, expiry, token).ConfigureAwait(false);
                return true;
            }
            return _misses?.Add(key) is { } only && await LookUpAsync(only, reader, token).ConfigureAwait(false);
        }
        catch (Exception problem) when (problem is GenfenceStoreException or OperationCanceledException)
        {
            // Its caller may go on to read the source, and set.
            _ = _misses?.Add(key, thrown: true);
            throw;
        }
    }

    public void Refresh(string key)
    {
        using var here = Blocking.Begin();
        Now(RefreshAsync(key));
    }

    public async Task RefreshAsync(string key, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(key);
        var reader = new Reader(null, time);
        var expiry = await ReadAsync(key, reader, token).ConfigureAwait(false);
        if (reader.HasRead)
        {
            await SlideAsync(key, expiry, token).ConfigureAwait(false);
        }
    }

    public void Remove(string key)
    {
        using var here = Blocking.Begin();
        Now(RemoveAsync(key));
    }

    public async Task RemoveAsync(string key, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(key);
        await cache.InvalidateAsync(key, null, token).ConfigureAwait(false);
    }

    public void Set(string key, byte[] value, DistributedCacheEntryOptions options)
    {
        using var here = Blocking.Begin();
        Now(SetAsync(key, value, options));
    }

    public Task SetAsync(
        string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(value);
        return SetAsync(key, new ReadOnlySequence<byte>(value), options, token).AsTask();
    }

    public void Set(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options)
    {
        using var here = Blocking.Begin();
        Now(SetAsync(key, value, options).AsTask());
    }

    public async ValueTask SetAsync(
        string key,
        ReadOnlySequence<byte> value,
        DistributedCacheEntryOptions options,
        CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(key);
        ArgumentNullException.ThrowIfNull(options);
        token.ThrowIfCancellationRequested();
        var now = time.GetUtcNow();
        var expiry = Expiry.Of(options, now);
        var length = checked(Expiry.Bytes + (int)value.Length);
        var bytes = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            expiry.Write(bytes);
            value.CopyTo(bytes.AsSpan(Expiry.Bytes));
            var memory = bytes.AsMemory(0, length);
            // The bytes are copied before the await.
            if (_misses is null)
            {
                await StoreAsync(key, memory, expiry.Left(now), token).ConfigureAwait(false);
            }
            else if (_misses.Take(key, out var lease))
            {
                await FillAsync(_misses, key, lease, memory, expiry.Left(now), token).ConfigureAwait(false);
            }
            else
            {
                Drop("it came too late, or after one that threw");
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <summary>Stores, or throws; then the old value is gone, as nobody may go on with what was to be replaced.</summary>
    private async ValueTask StoreAsync(string key, ReadOnlyMemory<byte> bytes, TimeSpan? left, CancellationToken token)
    {
        SetOutcome outcome;
        try
        {
            outcome = await cache.SetBytesAsync(key, bytes, left, token).ConfigureAwait(false);
            if (outcome == SetOutcome.TooLarge)
            {
                throw TooLarge(bytes.Length);
            }
        }
        catch (GenfenceInvalidException bad) when (bad.Field != "key")
        {
            await cache.InvalidateAsync(key, null, token).ConfigureAwait(false);
            throw;
        }
        switch (outcome)
        {
            case SetOutcome.Stored:
                return;
            case SetOutcome.Busy:
                throw new GenfenceException("the key is reserved by UpdateAsync or ReserveAsync, and a set stores nothing "
                    + "beside that: share no keys between the two");
            default:
                throw new GenfenceException("the store did not answer to a set: the value may be stored, or the one before may still be there");
        }
    }

    /// <summary>A set that lost its race is none the caller could mend: it is logged, and no exception.</summary>
    private async ValueTask FillAsync(
        Misses misses, string key, Lease? lease, ReadOnlyMemory<byte> bytes, TimeSpan? left, CancellationToken token)
    {
        if (lease is null)
        {
            switch (await cache.SetBytesAsync(key, bytes, left, token).ConfigureAwait(false))
            {
                case SetOutcome.Busy:
                    Drop("a writer holds the key");
                    break;
                case SetOutcome.TooLarge:
                    throw TooLarge(bytes.Length);
            }
            return;
        }
        using (lease)
        {
            try
            {
                switch (await lease.FillAsync(bytes, null, left, token).ConfigureAwait(false))
                {
                    case FillOutcome.Rejected:
                        Drop("the key was changed, or set by another, since the get that missed");
                        break;
                    case FillOutcome.TooLarge:
                        throw TooLarge(bytes.Length);
                }
            }
            catch
            {
                misses.Spend(key);
                throw;
            }
        }
    }

    private static GenfenceInvalidException TooLarge(int bytes) =>
        new("value", $"value: {bytes} bytes, expirations included, which is more than the option max_value_bytes allows");

    private void Drop(string reason)
    {
        _dropped?.Add();
        Dropped(_logger, reason);
    }

    [LoggerMessage(6, LogLevel.Warning, "a set stored nothing: {Reason}")]
    private static partial void Dropped(ILogger logger, string reason);

    /// <summary>Gives back the leases of misses that no set has followed. The cache beneath is not its own.</summary>
    public void Dispose() => _misses?.Dispose();

    private async ValueTask<Expiry> ReadAsync(string key, Reader reader, CancellationToken token)
    {
        var (_, expiry) = await cache.TryGetStrictlyAsync(key, reader, token).ConfigureAwait(false);
        reader.Failure?.Throw();
        return expiry;
    }

    /// <summary>Asks for the lease of a miss that is its key's only one; there may be a value by now.</summary>
    private async ValueTask<bool> LookUpAsync(Misses.OfKey only, Reader reader, CancellationToken token)
    {
        Lease? lease = null;
        Expiry expiry = default;
        var isMiss = false;
        try
        {
            var looked = await cache.LookupNowAsync(only.Key, token).ConfigureAwait(false);
            expiry = reader.Read(looked);
            if (looked.Kind == LookupKind.Hit && !reader.HasRead && reader.Failure is null)
            {
                // Past its last moment, or of another door: while it is there, nobody gets a lease. If it is another's
                // fresh value by now, that is lost, and no more; what comes after this is read.
                await cache.InvalidateAsync(only.Key, null, token).ConfigureAwait(false);
                looked = await cache.LookupNowAsync(only.Key, token).ConfigureAwait(false);
                expiry = reader.Read(looked);
            }
            lease = looked.Lease;
            isMiss = !reader.HasRead && reader.Failure is null;
        }
        finally
        {
            _misses?.Settle(only, lease, isMiss);
        }
        reader.Failure?.Throw();
        if (reader.HasRead)
        {
            await TrySlideAsync(only.Key, expiry, token).ConfigureAwait(false);
        }
        return reader.HasRead;
    }

    /// <summary>The value was read: what comes of prolonging it does not make a miss of it.</summary>
    private async ValueTask TrySlideAsync(string key, Expiry expiry, CancellationToken token)
    {
        try
        {
            await SlideAsync(key, expiry, token).ConfigureAwait(false);
        }
        catch (Exception problem) when (problem is GenfenceException or OperationCanceledException)
        {
            // It goes earlier, then.
        }
    }

    private async ValueTask SlideAsync(string key, Expiry expiry, CancellationToken token)
    {
        var now = time.GetUtcNow();
        if (expiry.SlidingTicks == 0 || expiry.Left(now) is not { } left || left <= TimeSpan.Zero)
        {
            return;
        }
        if (!Expiry.Reckons(time))
        {
            _ = await cache.TouchAsync(key, left, token).ConfigureAwait(false);
            return;
        }
        // Where another has stored meanwhile, that stays as it is.
        if (await cache.GetAsync(key, token).ConfigureAwait(false) is { Value.Length: >= Expiry.Bytes } held
            && Expiry.Read(held.Value) with { ReadTicks = expiry.ReadTicks } == expiry)
        {
            (expiry with { ReadTicks = now.UtcTicks }).Write(held.Value);
            if (await cache.ReplaceAsync(key, held.Stamp, held.Value, left, token).ConfigureAwait(false) == ReplaceOutcome.InDoubt)
            {
                throw new GenfenceException("the store did not answer to a refresh: the value may be over at its former time");
            }
        }
    }

    /// <summary>Of what is over, as each call in it has waited on this thread.</summary>
    private static T Now<T>(Task<T> over) => over.GetAwaiter().GetResult();

    private static void Now(Task over) => over.GetAwaiter().GetResult();

    /// <summary>
    /// Takes a value apart while it is still the cache's. One that is over is none, though the store, which reckons in
    /// whole seconds, still has it.
    /// </summary>
    private sealed class Reader(IBufferWriter<byte>? target, TimeProvider time) : IGenfenceSerializer<Expiry>
    {
        private readonly DateTimeOffset _now = time.GetUtcNow();

        public bool HasRead { get; private set; }

        /// <summary>The target's own: the cache would take it for bytes that cannot be read.</summary>
        public ExceptionDispatchInfo? Failure { get; private set; }

        public void Serialize(Expiry value, IBufferWriter<byte> target) => throw new NotSupportedException();

        public Expiry Read(LookupResult looked) => looked.Hit.Value is { } bytes ? Deserialize(bytes) : default;

        public Expiry Deserialize(ReadOnlySpan<byte> bytes)
        {
            if (bytes.Length < Expiry.Bytes)
            {
                return default;
            }
            var expiry = Expiry.Read(bytes);
            if (expiry.IsOver(_now, time))
            {
                return default;
            }
            try
            {
                target?.Write(bytes[Expiry.Bytes..]);
                HasRead = true;
            }
            catch (Exception problem)
            {
                Failure = ExceptionDispatchInfo.Capture(problem);
            }
            return expiry;
        }
    }
}
