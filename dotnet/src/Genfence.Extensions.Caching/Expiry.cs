using System.Buffers.Binary;
using Microsoft.Extensions.Caching.Distributed;

namespace Genfence.Extensions.Caching;

/// <summary>
/// When a value of <c>IDistributedCache</c> is over; the value begins with it. A sliding expiration in ticks, the last
/// moment, and when it was last read, both in UTC ticks; each 0 where there is none.
/// </summary>
/// <remarks>
/// The store prolongs a sliding value without its bytes being written anew, by its own clock, which is every machine's.
/// A <see cref="TimeProvider"/> of the program's own is nobody else's, so by that one the moment of each read is written.
/// </remarks>
internal readonly record struct Expiry(long SlidingTicks, long LastTicks, long ReadTicks)
{
    public const int Bytes = 24;

    /// <summary>Whether sliding is reckoned here, and not by the store.</summary>
    public static bool Reckons(TimeProvider time) => time != TimeProvider.System;

    public static Expiry Of(DistributedCacheEntryOptions options, DateTimeOffset now)
    {
        if (options.AbsoluteExpiration <= now)
        {
#pragma warning disable CA2208 // Named as Microsoft's caches name it.
            throw new ArgumentOutOfRangeException(
                nameof(DistributedCacheEntryOptions.AbsoluteExpiration),
                options.AbsoluteExpiration.Value,
                "options.AbsoluteExpiration must be in the future");
#pragma warning restore CA2208
        }
        var last = options.AbsoluteExpirationRelativeToNow switch
        {
            null => options.AbsoluteExpiration,
            { } relative when relative < DateTimeOffset.MaxValue - now => now + relative,
            _ => DateTimeOffset.MaxValue,
        };
        return new Expiry(options.SlidingExpiration?.Ticks ?? 0, last?.UtcTicks ?? 0, now.UtcTicks);
    }

    public static Expiry Read(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadInt64LittleEndian(bytes),
        BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]),
        BinaryPrimitives.ReadInt64LittleEndian(bytes[16..]));

    public void Write(Span<byte> target)
    {
        BinaryPrimitives.WriteInt64LittleEndian(target, SlidingTicks);
        BinaryPrimitives.WriteInt64LittleEndian(target[8..], LastTicks);
        BinaryPrimitives.WriteInt64LittleEndian(target[16..], ReadTicks);
    }

    /// <summary>The shorter of the two; nothing where the cache's own time counts.</summary>
    public TimeSpan? Left(DateTimeOffset now)
    {
        TimeSpan? sliding = SlidingTicks > 0 ? TimeSpan.FromTicks(SlidingTicks) : null;
        TimeSpan? last = LastTicks > 0 ? TimeSpan.FromTicks(LastTicks - now.UtcTicks) : null;
        return Expirations.Capped(sliding is null || last < sliding ? last : sliding);
    }

    public bool IsOver(DateTimeOffset now, TimeProvider time) =>
        (LastTicks > 0 && LastTicks <= now.UtcTicks)
        || (SlidingTicks > 0 && Reckons(time) && now.UtcTicks - ReadTicks >= SlidingTicks);
}
