using System.Buffers;

namespace Genfence.Native;

/// <summary>What is said of the keys of a reservation of several before it is used: nothing of it is sent.</summary>
internal static unsafe class Several
{
    /// <summary>All of these are to be reserved next, or none is.</summary>
    public static void Name(ReservationHandle reservation, List<CacheKey> keys)
    {
        var most = 0;
        foreach (var key in keys)
        {
            most += key.MaxBytes;
        }
        var bytes = ArrayPool<byte>.Shared.Rent(most);
        var slices = new NativeSlice[keys.Count];
        try
        {
            fixed (byte* start = bytes)
            fixed (NativeSlice* first = slices)
            {
                var used = 0;
                for (var i = 0; i < slices.Length; i++)
                {
                    var length = keys[i].Write(bytes.AsSpan(used));
                    slices[i] = new NativeSlice { Data = start + used, Length = (nuint)length };
                    used += length;
                }
                NativeError* error = null;
                ThrowIfFailed(Methods.gf_name(reservation, first, (nuint)slices.Length, &error), error);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <summary>What the key is to be told of once the source is committed.</summary>
    public static void Know(ReservationHandle reservation, in CacheKey key, in Known known)
    {
        // Looks at the bounds that only this side has.
        var request = new Request(Op.CommitMany).With(known.Value, known.Version, known.TimeToLive);
        var bytes = ArrayPool<byte>.Shared.Rent(key.MaxBytes);
        try
        {
            fixed (byte* start = bytes)
            fixed (byte* value = request.Value.Span)
            {
                var name = new NativeSlice { Data = start, Length = (nuint)key.Write(bytes) };
                NativeError* error = null;
                var status = known.State switch
                {
                    SourceState.RolledBack => Methods.gf_unchanged_of(reservation, name, &error),
                    SourceState.Changed when known.Version is null => Status.Done,
                    SourceState.Changed => Methods.gf_version_of(reservation, name, request.Version, &error),
                    _ => Methods.gf_value_of(
                        reservation,
                        name,
                        new NativeEntry
                        {
                            Value = new NativeSlice { Data = value, Length = (nuint)request.Value.Length },
                            Version = request.Version,
                            TtlMs = request.TtlMs,
                            Flags = request.Flags,
                        },
                        &error),
                };
                ThrowIfFailed(status, error);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <summary>What became of each, in the order in which they were reserved, and its key where that is asked for.</summary>
    public static IEnumerable<(int Status, CacheKey Key)> Told(ReservationHandle reservation, bool isNamed)
    {
        var count = (int)Methods.gf_reservation_count(reservation);
        for (var i = 0; i < count; i++)
        {
            yield return Told(reservation, i, isNamed);
        }
    }

    private static (int, CacheKey) Told(ReservationHandle reservation, int place, bool isNamed)
    {
        NativeSlice key;
        var status = Methods.gf_told(reservation, (nuint)place, &key);
        return (status, isNamed ? new CacheKey(new ReadOnlySpan<byte>(key.Data, (int)key.Length)) : default);
    }

    private static void ThrowIfFailed(int status, NativeError* error)
    {
        if (status != Status.Done)
        {
            throw GenfenceException.Take(status, ref error);
        }
    }
}
