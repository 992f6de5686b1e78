using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Genfence.Native;

/// <summary>A function that says where keys are at home, and what programs call it.</summary>
internal sealed record NamedHome(string Name, HomeRegion Of);

/// <summary>
/// The functions of the caches that are open. The native library knows each by a number, so that nothing dangles, however late it asks.
/// </summary>
internal static unsafe class Homes
{
    // GF_REGION_SIZE, with the zero byte.
    private const int Size = 33;

    private static readonly ConcurrentDictionary<nint, HomeRegion> s_homes = new();
    private static long s_last;

    public static nint Add(HomeRegion home)
    {
        var number = (nint)Interlocked.Increment(ref s_last);
        s_homes[number] = home;
        return number;
    }

    public static void Remove(nint number) => _ = s_homes.TryRemove(number, out _);

    public static NativeHome Native(NativeSlice name, nint number) => new()
    {
        Name = name,
        Of = (nint)(delegate* unmanaged[Cdecl]<NativeSlice, byte*, nint, int>)&Of,
        UserData = number,
    };

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Of(NativeSlice key, byte* region, nint number)
    {
        try
        {
            if (!s_homes.TryGetValue(number, out var home))
            {
                return Status.Invalid;
            }
            var name = home(new ReadOnlySpan<byte>(key.Data, (int)key.Length));
            var length = Encoding.UTF8.GetBytes(name, new Span<byte>(region, Size - 1));
            region[length] = 0;
            return Status.Done;
        }
#pragma warning disable CA1031 // Nothing may be thrown through the native library, which says of which field it is.
        catch (Exception)
#pragma warning restore CA1031
        {
            return Status.Invalid;
        }
    }
}
