using System.Buffers;

namespace Genfence;

/// <summary>Keys are the same that are the same bytes.</summary>
internal sealed class CacheKeyComparer : IEqualityComparer<CacheKey>
{
    public static CacheKeyComparer Instance { get; } = new();

    public bool Equals(CacheKey x, CacheKey y)
    {
        if (x.Text is { } one && y.Text is { } other)
        {
            return string.Equals(one, other, StringComparison.Ordinal);
        }
        var first = ArrayPool<byte>.Shared.Rent(x.MaxBytes);
        var second = ArrayPool<byte>.Shared.Rent(y.MaxBytes);
        try
        {
            return first.AsSpan(0, x.Write(first)).SequenceEqual(second.AsSpan(0, y.Write(second)));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(first);
            ArrayPool<byte>.Shared.Return(second);
        }
    }

    public int GetHashCode(CacheKey obj) => obj.Hash();
}
