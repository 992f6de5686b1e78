namespace Genfence.Native;

/// <summary>An operation to be submitted, before its bytes are pinned.</summary>
internal struct Request(Op op)
{
    public Op Op = op;
    /// <summary>None where it is about a handle.</summary>
    public CacheKey Key;
    public ReadOnlyMemory<byte> Value;
    public uint Flags;
    public ulong Version;
    public ulong TtlMs;
    public ulong Stamp;
    /// <summary>Those that what is stored by it bears, or by the lease or the reservation that it brings.</summary>
    public Tags? Tags;
    /// <summary>The handle that it is asked of, where that has a near time of its own.</summary>
    public NearHandle? Near;
    public LeaseHandle? Lease;
    public ReservationHandle? Reservation;

    /// <summary>With a value, its version and its time to live; null bytes say that there is nothing.</summary>
    public readonly Request With(ReadOnlyMemory<byte>? value, long? version, TimeSpan? timeToLive)
    {
        var request = With(version);
        request.Value = value ?? default;
        request.Flags |= value is null ? Native.Flags.Nothing : 0;
        request.TtlMs = timeToLive is { } time ? Milliseconds("ttl", time) : 0;
        return request;
    }

    public readonly Request With(long? version)
    {
        var request = this;
        if (version is { } given)
        {
            if (given < 0)
            {
                throw new GenfenceInvalidException("version", $"version: {given}, must not be below 0");
            }
            request.Version = (ulong)given;
            request.Flags |= Native.Flags.Version;
        }
        return request;
    }

    /// <summary>Whether it may wait for another caller's load of its key.</summary>
    public readonly bool MayAwait => Op is Op.Load or Op.Lookup or Op.LookupMany;

    /// <summary>Rounded up, so that a short time is not taken for none.</summary>
    public static ulong Milliseconds(string field, TimeSpan time) =>
        time > TimeSpan.Zero
            ? (ulong)Math.Ceiling(time.TotalMilliseconds)
            : throw new GenfenceInvalidException(field, $"{field}: {time}, must be above 0");
}

internal static class Values
{
    /// <summary>Null stays null: the conversion of an array makes empty bytes of it.</summary>
    public static ReadOnlyMemory<byte>? OrNothing(this byte[]? value) =>
        value is null ? (ReadOnlyMemory<byte>?)null : value;
}
