using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;

namespace Genfence.Extensions.Caching;

/// <summary>
/// Finds the serializer of a type where Microsoft's HybridCache does. JSON options for all types count only where the cache
/// was given none of its own: it writes what <c>UpdateAsync</c> commits, and both must write alike.
/// </summary>
internal sealed class HybridSerializers(IServiceProvider services, GenfenceCache cache, bool cacheHasJson, PayloadBound? bound)
{
    private readonly ByType _known = new();

    /// <summary>The JSON options for all types, which <see cref="HybridCache"/> takes from a key of its own.</summary>
    public static JsonSerializerOptions? JsonForAll(IServiceProvider services) =>
        Json(services, typeof(IHybridCacheSerializer<>));

    /// <summary>The cache's own, unless another was given.</summary>
    public IGenfenceSerializer<T> Find<T>() => Unsafe.As<IGenfenceSerializer<T>>(_known.Find<T>() ?? _known.Add<T>(Bounded(Make<T>())));

    private IGenfenceSerializer<T> Bounded<T>(IGenfenceSerializer<T>? made) =>
        bound is null ? made ?? cache.Serializer<T>() : new BoundedSerializer<T>(made ?? cache.Serializer<T>(), bound);

    private IGenfenceSerializer<T>? Make<T>()
    {
        if (services.GetService<IHybridCacheSerializer<T>>() is { } own)
        {
            return new Adapter<T>(own);
        }
        // As in Microsoft's: whoever was added last comes first.
        foreach (var factory in services.GetServices<IHybridCacheSerializerFactory>().Reverse())
        {
            if (factory.TryCreateSerializer<T>(out var made))
            {
                return new Adapter<T>(made);
            }
        }
        if (typeof(T) == typeof(string) || typeof(T) == typeof(byte[]))
        {
            return null;
        }
        var json = Json(services, typeof(IHybridCacheSerializer<T>)) ?? (cacheHasJson ? null : JsonForAll(services));
        return json is null ? null : GenfenceSerializer.Json<T>(json);
    }

    private static JsonSerializerOptions? Json(IServiceProvider services, Type key) =>
        (services as IKeyedServiceProvider)?.GetKeyedService<JsonSerializerOptions>(key);

    private sealed class BoundedSerializer<T>(IGenfenceSerializer<T> serializer, PayloadBound bound)
        : IGenfenceSerializer<T>, IBoundedSerializer
    {
        public void Serialize(T value, IBufferWriter<byte> target) => serializer.Serialize(value, target);

        public T Deserialize(ReadOnlySpan<byte> bytes) => serializer.Deserialize(bytes);

        public bool IsWithin(int bytes) => bound.IsWithin(bytes);
    }

    private sealed class Adapter<T>(IHybridCacheSerializer<T> serializer) : IGenfenceSerializer<T>
    {
        public void Serialize(T value, IBufferWriter<byte> target) => serializer.Serialize(value, target);

        public T Deserialize(ReadOnlySpan<byte> bytes) =>
            serializer.Deserialize(new ReadOnlySequence<byte>(bytes.ToArray()));
    }
}
