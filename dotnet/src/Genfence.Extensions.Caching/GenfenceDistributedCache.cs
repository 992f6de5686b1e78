using System.Buffers;
using System.Buffers.Binary;
using Microsoft.Extensions.Caching.Distributed;

namespace Genfence.Extensions.Caching;

/// <summary>
/// Bytes for those who bring a cache logic of their own: sessions, FusionCache, Microsoft's HybridCache. A value begins
/// with its sliding expiration, in ticks, and its last moment, in UTC ticks; each 0 where there is none.
/// </summary>
internal sealed class GenfenceDistributedCache(GenfenceCache cache, TimeProvider time) : IBufferDistributedCache
{
    private const int HeaderBytes = 16;

    public byte[]? Get(string key) => Wait(GetAsync(key));

    public async Task<byte[]?> GetAsync(string key, CancellationToken token = default)
    {
        var target = new ArrayBufferWriter<byte>();
        return await TryGetAsync(key, target, token).ConfigureAwait(false) ? target.WrittenSpan.ToArray() : null;
    }

    public bool TryGet(string key, IBufferWriter<byte> destination) => Wait(TryGetAsync(key, destination).AsTask());

    public async ValueTask<bool> TryGetAsync(
        string key, IBufferWriter<byte> destination, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(destination);
        var (found, expiry) = await cache.TryGetAsync(key, new Reader(destination), token).ConfigureAwait(false);
        if (found)
        {
            await SlideAsync(key, expiry, token).ConfigureAwait(false);
        }
        return found;
    }

    public void Refresh(string key) => Wait(RefreshAsync(key));

    public async Task RefreshAsync(string key, CancellationToken token = default)
    {
        var (found, expiry) = await cache.TryGetAsync(key, new Reader(null), token).ConfigureAwait(false);
        if (found)
        {
            await SlideAsync(key, expiry, token).ConfigureAwait(false);
        }
    }

    public void Remove(string key) => Wait(RemoveAsync(key));

    public Task RemoveAsync(string key, CancellationToken token = default) =>
        cache.InvalidateAsync(key, null, token).AsTask();

    public void Set(string key, byte[] value, DistributedCacheEntryOptions options) =>
        Wait(SetAsync(key, value, options));

    public Task SetAsync(
        string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(value);
        return SetAsync(key, new ReadOnlySequence<byte>(value), options, token).AsTask();
    }

    public void Set(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options) =>
        Wait(SetAsync(key, value, options).AsTask());

    public async ValueTask SetAsync(
        string key,
        ReadOnlySequence<byte> value,
        DistributedCacheEntryOptions options,
        CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        var now = time.GetUtcNow();
        var last = options.AbsoluteExpirationRelativeToNow is { } relative ? now + relative : options.AbsoluteExpiration;
        var expiry = new Expiry(options.SlidingExpiration?.Ticks ?? 0, last?.UtcTicks ?? 0);
        var length = checked((int)value.Length);
        var bytes = ArrayPool<byte>.Shared.Rent(HeaderBytes + length);
        try
        {
            BinaryPrimitives.WriteInt64LittleEndian(bytes, expiry.SlidingTicks);
            BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(8), expiry.LastTicks);
            value.CopyTo(bytes.AsSpan(HeaderBytes));
            // The bytes are copied before the await.
            _ = await cache.SetBytesAsync(key, bytes.AsMemory(0, HeaderBytes + length), expiry.Left(now), token)
                .ConfigureAwait(false);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    private async ValueTask SlideAsync(string key, Expiry expiry, CancellationToken token)
    {
        // One that is over by this clock and not yet by the store's is left alone.
        if (expiry.SlidingTicks > 0 && expiry.Left(time.GetUtcNow()) is { } left && left > TimeSpan.Zero)
        {
            _ = await cache.TouchAsync(key, left, token).ConfigureAwait(false);
        }
    }

    private static T Wait<T>(Task<T> task) => task.GetAwaiter().GetResult();

    private static void Wait(Task task) => task.GetAwaiter().GetResult();

    private readonly record struct Expiry(long SlidingTicks, long LastTicks)
    {
        /// <summary>The shorter of the two; nothing where the cache's own time counts.</summary>
        public TimeSpan? Left(DateTimeOffset now)
        {
            TimeSpan? sliding = SlidingTicks > 0 ? TimeSpan.FromTicks(SlidingTicks) : null;
            TimeSpan? last = LastTicks > 0 ? TimeSpan.FromTicks(LastTicks - now.UtcTicks) : null;
            return sliding is null || last < sliding ? last : sliding;
        }
    }

    /// <summary>Takes a value apart while it is still the cache's.</summary>
    private sealed class Reader(IBufferWriter<byte>? target) : IGenfenceSerializer<Expiry>
    {
        public void Serialize(Expiry value, IBufferWriter<byte> target) => throw new NotSupportedException();

        public Expiry Deserialize(ReadOnlySpan<byte> bytes)
        {
            var expiry = new Expiry(
                BinaryPrimitives.ReadInt64LittleEndian(bytes), BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]));
            target?.Write(bytes[HeaderBytes..]);
            return expiry;
        }
    }
}
