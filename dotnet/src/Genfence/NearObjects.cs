using BitFaster.Caching.Lru;
using Genfence.Native;

namespace Genfence;

/// <summary>
/// Values of immutable types as the program uses them, which all callers share as long as the cache may serve them without a
/// command (the option <c>near</c>). What can be changed is read anew for each caller.
/// </summary>
internal sealed class NearObjects
{
    /// <summary>The most that are kept; beside them the bytes that they were read from are bounded by <c>near_bytes</c>.</summary>
    public const int Capacity = 65_536;

    private readonly ConcurrentLru<string, Copy> _objects = new(Capacity);

    public bool TryGet<T>(string key, IGenfenceSerializer<T> serializer, out T? value)
    {
        if (_objects.TryGet(key, out var kept)
            && kept is Kept<T> of && ReferenceEquals(of.Serializer, serializer) && of.Counts())
        {
            value = of.Value;
            return true;
        }
        value = default;
        return false;
    }

    /// <summary>The value with this stamp, which the cache has just said is the one to serve.</summary>
    public bool TryFind<T>(string key, IGenfenceSerializer<T> serializer, ulong stamp, out T? value)
    {
        if (_objects.TryGet(key, out var kept)
            && kept is Kept<T> of && ReferenceEquals(of.Serializer, serializer) && of.Stamp == stamp)
        {
            value = of.Value;
            return true;
        }
        value = default;
        return false;
    }

    public void Keep<T>(string key, T? value, IGenfenceSerializer<T> serializer, ulong stamp, nint copy) =>
        _objects.AddOrUpdate(key, new Kept<T>(value, serializer, stamp, copy));

    private sealed class Kept<T>(T? value, IGenfenceSerializer<T> serializer, ulong stamp, nint copy) : Copy(copy)
    {
        public T? Value => value;

        public ulong Stamp => stamp;

        /// <summary>Another would have read another object.</summary>
        public IGenfenceSerializer<T> Serializer => serializer;
    }
}
