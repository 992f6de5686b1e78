using System.Buffers;
using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Genfence.Native;
using Microsoft.Extensions.Logging;

namespace Genfence;

// Values and bytes. What cannot be turned into the other costs a read of the source, and no exception to a reader.
public sealed partial class GenfenceCache
{
    private readonly ByType _serializers;

    // Types, so that a value of many keys is no line for each.
    private readonly ConcurrentDictionary<Type, bool> _unwritable;
    private readonly ConcurrentDictionary<Type, bool> _unreadable;

    internal IGenfenceSerializer<T> Serializer<T>() =>
        // What is kept of a type is of that type; to ask for an interface takes longer than to find it.
        Unsafe.As<IGenfenceSerializer<T>>(
            _serializers.Find<T>() ?? _serializers.Add<T>(GenfenceSerializer.Default<T>(_options.Json)));

    internal static ReadOnlyMemory<byte>? Serialize<T>(T value, IGenfenceSerializer<T> serializer)
    {
        if (value is null)
        {
            return null;
        }
        var buffer = new ArrayBufferWriter<byte>();
        serializer.Serialize(value, buffer);
        return buffer.WrittenMemory;
    }

    /// <summary>What a key is to have, in bytes, and checked: what is wrong is said now, and not when the source was changed.</summary>
    internal static Known Written<T>(T value, long? version, TimeSpan? timeToLive, IGenfenceSerializer<T> serializer)
    {
        var bytes = Serialize(value, serializer);
        _ = new Request(Op.CommitMany).With(bytes, version, timeToLive);
        return new(SourceState.Committed, bytes, version, timeToLive);
    }

    /// <summary>Whether a loaded value could be written. If not, its caller has it all the same, and nothing is stored.</summary>
    private bool TrySerialize<T>(T value, IGenfenceSerializer<T> serializer, out ReadOnlyMemory<byte>? bytes)
    {
        try
        {
            bytes = Serialize(value, serializer);
            return true;
        }
        // Its text could quote the value: it stays out.
        catch (Exception problem) when (problem is not OutOfMemoryException)
        {
            bytes = null;
            if (_unwritable.TryAdd(typeof(T), true))
            {
                Unwritable(Logger, typeof(T), problem.GetType());
            }
            return false;
        }
    }

    private bool TryRead<T>(in NativeResult hit, IGenfenceSerializer<T> serializer, out T? value)
    {
        value = default;
        if ((hit.Flags & Flags.Nothing) != 0)
        {
            return true;
        }
        try
        {
            value = serializer.Deserialize(hit.ValueSpan());
            return true;
        }
        // Its text could quote the value: it stays out.
        catch (Exception problem) when (problem is not OutOfMemoryException)
        {
            if (_unreadable.TryAdd(typeof(T), true))
            {
                Unreadable(Logger, typeof(T), problem.GetType());
            }
            return false;
        }
    }

    [LoggerMessage(7, LogLevel.Warning,
        "a loaded value of {Type} cannot be written, so it is not cached, which is said once: {Problem}")]
    private static partial void Unwritable(ILogger logger, Type type, Type problem);

    [LoggerMessage(8, LogLevel.Warning,
        "cached bytes cannot be read as {Type}, say as another version of the program wrote them, so they are no hit, "
        + "which is said once: {Problem}")]
    private static partial void Unreadable(ILogger logger, Type type, Type problem);
}
