using System.Runtime.CompilerServices;

namespace Genfence.Native;

/// <summary>Reading results, and freeing them.</summary>
internal static class Results
{
    /// <summary>The value's bytes, until the result is freed.</summary>
    public static unsafe ReadOnlySpan<byte> ValueSpan(in this NativeResult result) =>
        new(result.Value.Data, checked((int)result.Value.Length));

    public static unsafe void Free(ref this NativeResult result)
    {
        if (result.Value.Owner == 0 && result.Lease == 0 && result.Reservation == 0 && result.Error is null)
        {
            return;
        }
        fixed (NativeResult* pointer = &result)
        {
            Methods.gf_result_free(pointer);
        }
    }

    /// <summary>Throws what a status below zero says; the result must be freed all the same.</summary>
    public static unsafe void ThrowIfFailed(ref this NativeResult result)
    {
        if (result.Status < 0)
        {
            throw GenfenceException.Take(result.Status, ref result.Error);
        }
    }

    /// <summary>The outcome that a status is.</summary>
    public static T Outcome<T>(int status) where T : struct, Enum
    {
        var outcome = Unsafe.BitCast<int, T>(status);
        return Enum.IsDefined(outcome) ? outcome : throw Unknown(status);
    }

    /// <summary>What a result has more to say.</summary>
    public static T Detail<T>(in NativeResult result) where T : struct, Enum => Outcome<T>(result.Detail);

    /// <summary>Throws for any other status than this one.</summary>
    public static void MustBe(this int status, int expected)
    {
        if (status != expected)
        {
            throw Unknown(status);
        }
    }

    /// <summary>Whether a plain read found a value.</summary>
    public static bool IsHit(in this NativeResult result) => result.Status switch
    {
        Status.Hit => true,
        Status.Miss => false,
        var other => throw Unknown(other),
    };

    /// <summary>Of a library that is newer than this package.</summary>
    public static GenfenceException Unknown(int status) =>
        new($"the native library answered with status {status}, which this package does not know: deploy the one that came "
            + "with it");

    public static nint TakeLease(ref this NativeResult result)
    {
        var taken = result.Lease;
        result.Lease = 0;
        return taken;
    }

    public static nint TakeReservation(ref this NativeResult result)
    {
        var taken = result.Reservation;
        result.Reservation = 0;
        return taken;
    }

    /// <summary>Of a result that owns nothing but, perhaps, an error.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public static async ValueTask<int> StatusAsync(
        this Connection connection, Request request, CancellationToken cancellation)
    {
        var result = await connection.Submit(request, cancellation).ConfigureAwait(false);
        return result.StatusAndFree();
    }

    public static int StatusAndFree(ref this NativeResult result)
    {
        try
        {
            result.ThrowIfFailed();
            return result.Status;
        }
        finally
        {
            result.Free();
        }
    }
}
