using System.Runtime.CompilerServices;
using System.Text;

namespace Genfence.Native;

/// <summary>The tags of a handle, as the native library takes them.</summary>
internal sealed unsafe class Tags
{
    // One more than there may be, so that it is the native library that says what the most is.
    private const int Kept = 33;

    // Two texts that are no UTF-16 must not become one tag.
    private static readonly UTF8Encoding s_strict = new(false, throwOnInvalidBytes: true);

    private readonly string[] _names;
    private readonly byte[] _bytes;
    private readonly int[] _lengths;

    public Tags(Tags? others, IEnumerable<string> names)
    {
        _names = [.. (others?._names ?? []).Concat(names).Distinct(StringComparer.Ordinal).Take(Kept)];
        var encoded = Array.ConvertAll(_names, Encode);
        _lengths = Array.ConvertAll(encoded, name => name.Length);
        _bytes = [.. encoded.SelectMany(name => name)];
    }

    public static byte[] Encode(string tag)
    {
        try
        {
            return s_strict.GetBytes(tag ?? throw new GenfenceInvalidException("tags", "tags: one of them is null"));
        }
        catch (EncoderFallbackException cause)
        {
            throw new GenfenceInvalidException("tags", "tags: one is no well-formed UTF-16", cause);
        }
    }

    /// <summary>A handle of the cache with these tags, for one command. Dispose it.</summary>
    [SkipLocalsInit]
    public CacheHandle On(CacheHandle cache)
    {
        var slices = stackalloc NativeSlice[Kept];
        nint tagged;
        NativeError* error = null;
        fixed (byte* start = _bytes)
        {
            var next = start;
            for (var i = 0; i < _lengths.Length; i++)
            {
                slices[i] = new NativeSlice { Data = next, Length = (nuint)_lengths[i] };
                next += _lengths[i];
            }
            var status = Methods.gf_tagged(cache, slices, (nuint)_lengths.Length, &tagged, &error);
            return status == Status.Done ? new CacheHandle(tagged, 0) : throw GenfenceException.Take(status, ref error);
        }
    }
}
