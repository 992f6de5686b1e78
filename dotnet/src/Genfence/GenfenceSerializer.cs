using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Genfence;

/// <summary>Turns values into bytes and back. Used by many threads at once.</summary>
/// <typeparam name="T">The values' type.</typeparam>
public interface IGenfenceSerializer<T>
{
    /// <summary>
    /// Writes a value, which is not <see langword="null"/>. An exception says that it cannot be written: a value that was
    /// loaded is returned to its reader then, and not stored; a set and an update throw it.
    /// </summary>
    /// <param name="value">The value.</param>
    /// <param name="target">Where to write it.</param>
    void Serialize(T value, IBufferWriter<byte> target);

    /// <summary>
    /// Reads a value. An exception says that the bytes are none of this type, say because another
    /// version of the program wrote them: they are removed, and the source is read.
    /// </summary>
    /// <param name="bytes">The bytes; they are gone after the call.</param>
    /// <returns>The value.</returns>
    T Deserialize(ReadOnlySpan<byte> bytes);
}

/// <summary>A serializer whose values are stored up to a size only.</summary>
internal interface IBoundedSerializer
{
    /// <summary>Whether so many bytes are stored. If not, it is the serializer that says so.</summary>
    bool IsWithin(int bytes);
}

/// <summary>Serializers that need no code of yours.</summary>
public static class GenfenceSerializer
{
    /// <summary>Bytes as they are.</summary>
    public static IGenfenceSerializer<byte[]> Bytes { get; } = new BytesSerializer();

    /// <summary>Text as UTF-8.</summary>
    public static IGenfenceSerializer<string> Text { get; } = new TextSerializer();

    /// <summary>JSON by a source-generated contract: <c>GenfenceSerializer.Json(MyContext.Default.User)</c>.</summary>
    /// <typeparam name="T">The values' type.</typeparam>
    /// <param name="contract">The contract; make the serializer once and keep it.</param>
    /// <returns>The serializer.</returns>
    /// <exception cref="GenfenceInvalidException">The type could be written, and not read back.</exception>
    public static IGenfenceSerializer<T> Json<T>(JsonTypeInfo<T> contract)
    {
        ArgumentNullException.ThrowIfNull(contract);
        JsonContracts.Check(contract);
        return new JsonSerializer<T>(contract);
    }

    /// <summary>
    /// JSON by options, such as those that a <c>HybridCache</c> is given for one type: pass it to <c>UpdateAsync</c>, so
    /// that both write alike.
    /// </summary>
    /// <typeparam name="T">The values' type.</typeparam>
    /// <param name="options">The options; make the serializer once and keep it.</param>
    /// <returns>The serializer.</returns>
    /// <exception cref="GenfenceInvalidException">The type could be written, and not read back.</exception>
    public static IGenfenceSerializer<T> Json<T>(JsonSerializerOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return Json(JsonContracts.Find<T>(options));
    }

    /// <summary>Bytes and text as they are, everything else as JSON.</summary>
    internal static IGenfenceSerializer<T> Default<T>(JsonSerializerOptions? json)
    {
        if (typeof(T) == typeof(byte[]))
        {
            return (IGenfenceSerializer<T>)Bytes;
        }
        if (typeof(T) == typeof(string))
        {
            return (IGenfenceSerializer<T>)Text;
        }
        return Json(JsonContracts.Find<T>(json));
    }

    private sealed class BytesSerializer : IGenfenceSerializer<byte[]>
    {
        public void Serialize(byte[] value, IBufferWriter<byte> target) => target.Write(value);

        public byte[] Deserialize(ReadOnlySpan<byte> bytes) => bytes.ToArray();
    }

    private sealed class TextSerializer : IGenfenceSerializer<string>
    {
        private static readonly UTF8Encoding s_strict = new(false, throwOnInvalidBytes: true);

        public void Serialize(string value, IBufferWriter<byte> target) => s_strict.GetBytes(value, target);

        public string Deserialize(ReadOnlySpan<byte> bytes) => s_strict.GetString(bytes);
    }

    private sealed class JsonSerializer<T>(JsonTypeInfo<T> contract) : IGenfenceSerializer<T>
    {
        public void Serialize(T value, IBufferWriter<byte> target)
        {
            using var writer = new Utf8JsonWriter(target);
            JsonSerializer.Serialize(writer, value, contract);
        }

        public T Deserialize(ReadOnlySpan<byte> bytes) => JsonSerializer.Deserialize(bytes, contract)!;
    }
}
