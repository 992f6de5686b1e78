using System.Buffers;
using System.Text;

namespace Genfence;

/// <summary>
/// A key: text, which is encoded as UTF-8, or bytes. 1 byte to the option <c>max_key_bytes</c>
/// (1 KiB), prefix included. Strings and bytes convert to it by themselves.
/// </summary>
public readonly struct CacheKey
{
    // Two texts that are no UTF-16 must not become one key.
    private static readonly UTF8Encoding s_strict = new(false, throwOnInvalidBytes: true);

    private readonly string? _text;
    private readonly ReadOnlyMemory<byte> _bytes;

    /// <summary>A key of text.</summary>
    /// <param name="text">The text; it must be well-formed UTF-16.</param>
    public CacheKey(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        _text = text;
    }

    /// <summary>A key of bytes, which must stay as they are until the call has returned.</summary>
    /// <param name="bytes">The bytes.</param>
    public CacheKey(ReadOnlyMemory<byte> bytes) => _bytes = bytes;

    /// <summary>A key of a copy of bytes.</summary>
    /// <param name="bytes">The bytes.</param>
    public CacheKey(ReadOnlySpan<byte> bytes) => _bytes = bytes.ToArray();

    /// <summary>A key of text.</summary>
    /// <param name="text">The text; it must be well-formed UTF-16.</param>
    public static implicit operator CacheKey(string text) => new(text);

    /// <summary>A key of bytes, which must stay as they are until the call has returned.</summary>
    /// <param name="bytes">The bytes.</param>
    public static implicit operator CacheKey(byte[] bytes) => new(new ReadOnlyMemory<byte>(bytes));

    /// <summary>A key of bytes, which must stay as they are until the call has returned.</summary>
    /// <param name="bytes">The bytes.</param>
    public static implicit operator CacheKey(ReadOnlyMemory<byte> bytes) => new(bytes);

    /// <summary>A key of a copy of bytes, such as <c>"user:1"u8</c>.</summary>
    /// <param name="bytes">The bytes.</param>
    public static implicit operator CacheKey(ReadOnlySpan<byte> bytes) => new(bytes);

    /// <summary>The text, where it is one.</summary>
    internal string? Text => _text;

    /// <summary>The same key, whatever becomes of the bytes that it was made of.</summary>
    internal CacheKey Owned() => _text is null ? new CacheKey(_bytes.Span) : this;

    /// <summary>As a message tells it: the beginning of it.</summary>
    internal string Told()
    {
        const int Most = 64;
        var text = _text ?? Encoding.UTF8.GetString(_bytes.Span[..Math.Min(_bytes.Length, Most)]);
        return text.Length > Most ? $"key \"{text[..Most]}…\"" : $"key \"{text}\"";
    }

    internal int MaxBytes => _text is null ? _bytes.Length : s_strict.GetMaxByteCount(_text.Length);

    /// <summary>A hash of the key, which is never 0.</summary>
    internal int Hash()
    {
        var bytes = ArrayPool<byte>.Shared.Rent(MaxBytes);
        try
        {
            return Hash(bytes.AsSpan(0, Write(bytes)));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <summary>A hash of the bytes of a key, which is never 0.</summary>
    internal static int Hash(ReadOnlySpan<byte> key)
    {
        var hash = new HashCode();
        hash.AddBytes(key);
        return hash.ToHashCode() | 1;
    }

    internal int Write(Span<byte> target)
    {
        if (_text is null)
        {
            _bytes.Span.CopyTo(target);
            return _bytes.Length;
        }
        try
        {
            return s_strict.GetBytes(_text, target);
        }
        catch (EncoderFallbackException cause)
        {
            throw new GenfenceInvalidException("key", "key: is no well-formed UTF-16", cause);
        }
    }
}
