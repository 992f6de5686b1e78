using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;

namespace Genfence.Native;

/// <summary>
/// Exceptions of loads on their way to those who waited: the native side carries a number, and says how many it told.
/// </summary>
internal sealed class SharedFailures
{
    /// <summary>Names no exception: whoever is told loads by itself.</summary>
    public static readonly ReadOnlyMemory<byte> None = new byte[sizeof(long)];

    private readonly ConcurrentDictionary<long, Entry> _entries = new();
    private long _last;

    public int Count => _entries.Count;

    /// <summary>What the native side is to carry.</summary>
    public byte[] Add(Exception problem)
    {
        var number = Interlocked.Increment(ref _last);
        _entries[number] = new Entry(ExceptionDispatchInfo.Capture(problem));
        var bytes = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, number);
        return bytes;
    }

    /// <summary>So many were told, some of whom may have been here already.</summary>
    public void Told(ReadOnlySpan<byte> bytes, int count) => Settle(bytes, count);

    /// <summary>One who was told; nothing, where there is no exception to be had.</summary>
    public ExceptionDispatchInfo? Take(ReadOnlySpan<byte> bytes) => Settle(bytes, -1);

    private ExceptionDispatchInfo? Settle(ReadOnlySpan<byte> bytes, int change)
    {
        if (!BinaryPrimitives.TryReadInt64LittleEndian(bytes, out var number) || !_entries.TryGetValue(number, out var entry))
        {
            return null;
        }
        // Below zero until it is known how many were told; so zero is the last of them.
        if (Interlocked.Add(ref entry.Left, change) == 0)
        {
            _entries.TryRemove(number, out _);
        }
        return entry.Problem;
    }

    private sealed class Entry(ExceptionDispatchInfo problem)
    {
        public int Left;

        public ExceptionDispatchInfo Problem => problem;
    }
}
