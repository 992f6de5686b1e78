using System.Buffers;
using System.Collections.Concurrent;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;

namespace Genfence.Extensions.Caching;

/// <summary>The strict door: get-or-create is the guarded fill.</summary>
internal sealed class GenfenceHybridCache(GenfenceCache cache, IServiceProvider services) : HybridCache
{
    // There is no copy in process, and nothing is compressed.
    private const HybridCacheEntryFlags WithoutEffect =
        HybridCacheEntryFlags.DisableLocalCache | HybridCacheEntryFlags.DisableCompression;

    private static readonly object s_none = new();

    private readonly ConcurrentDictionary<Type, object> _serializers = new();

    public override ValueTask<T> GetOrCreateAsync<TState, T>(
        string key,
        TState state,
        Func<TState, CancellationToken, ValueTask<T>> factory,
        HybridCacheEntryOptions? options = null,
        IEnumerable<string>? tags = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        RefuseTags(tags);
        if (options?.Expiration is { } time && time <= TimeSpan.Zero)
        {
            // Before the source is read for nothing.
            throw new ArgumentOutOfRangeException(nameof(options), time, "Expiration: must be above 0");
        }
        var serializer = Serializer<T>();
        var flags = options?.Flags ?? HybridCacheEntryFlags.None;
        if ((flags & ~WithoutEffect) == 0)
        {
#pragma warning disable CS8619 // T says itself whether there can be nothing.
            return options?.Expiration is null
                ? cache.GetOrFillAsync(key, state, factory, serializer, cancellationToken)
                : FillFor(key, state, factory, options.Expiration, serializer, cancellationToken);
#pragma warning restore CS8619
        }
        return Special(key, state, factory, options!, serializer, cancellationToken);
    }

    public override async ValueTask SetAsync<T>(
        string key,
        T value,
        HybridCacheEntryOptions? options = null,
        IEnumerable<string>? tags = null,
        CancellationToken cancellationToken = default)
    {
        RefuseTags(tags);
        if ((options?.Flags & HybridCacheEntryFlags.DisableDistributedCacheWrite) is null or HybridCacheEntryFlags.None)
        {
            _ = await cache.SetAsync(key, value, options?.Expiration, Serializer<T>(), cancellationToken)
                .ConfigureAwait(false);
        }
    }

    public override ValueTask RemoveAsync(string key, CancellationToken cancellationToken = default) =>
        cache.InvalidateAsync(key, null, cancellationToken);

    public override ValueTask RemoveByTagAsync(string tag, CancellationToken cancellationToken = default) =>
        ValueTask.FromException(NoTags());

    private ValueTask<T?> FillFor<TState, T>(
        string key,
        TState state,
        Func<TState, CancellationToken, ValueTask<T>> factory,
        TimeSpan? expiration,
        IGenfenceSerializer<T>? serializer,
        CancellationToken cancellation) =>
        cache.GetOrFillAsync(
            key,
            (state, factory, expiration),
            static async (all, cancellation) => new Fresh<T>(
                await all.factory(all.state, cancellation).ConfigureAwait(false), null, all.expiration),
            serializer,
            cancellation);

    /// <summary>Without reading the cache, without writing to it, or without the source.</summary>
    private async ValueTask<T> Special<TState, T>(
        string key,
        TState state,
        Func<TState, CancellationToken, ValueTask<T>> factory,
        HybridCacheEntryOptions options,
        IGenfenceSerializer<T>? serializer,
        CancellationToken cancellation)
    {
        var flags = options.Flags!.Value;
        var read = (flags & HybridCacheEntryFlags.DisableDistributedCacheRead) == 0;
        var write = (flags & HybridCacheEntryFlags.DisableDistributedCacheWrite) == 0;
        var source = (flags & HybridCacheEntryFlags.DisableUnderlyingData) == 0;
        if (write && source)
        {
            // Only the read is off: what is there goes, and the fill is as guarded as any.
            await cache.InvalidateAsync(key, null, cancellation).ConfigureAwait(false);
            return (await FillFor(key, state, factory, options.Expiration, serializer, cancellation).ConfigureAwait(false))!;
        }
        if (read)
        {
            var (found, value) = await cache.TryGetAsync(key, serializer, cancellation).ConfigureAwait(false);
            if (found)
            {
                return value!;
            }
        }
        return source ? await factory(state, cancellation).ConfigureAwait(false) : default!;
    }

    private static void RefuseTags(IEnumerable<string>? tags)
    {
        if (tags is not null && tags.Any())
        {
            throw NoTags();
        }
    }

    private static NotSupportedException NoTags() =>
        new("genfence has no tags: a value that is removed by its tag while it is being filled would have to be "
            + "found first; remove its key instead");

    private IGenfenceSerializer<T>? Serializer<T>() =>
        _serializers.GetOrAdd(typeof(T), static (_, services) => Find<T>(services) ?? s_none, services)
            as IGenfenceSerializer<T>;

    private static Adapter<T>? Find<T>(IServiceProvider services)
    {
        if (services.GetService<IHybridCacheSerializer<T>>() is { } own)
        {
            return new Adapter<T>(own);
        }
        foreach (var factory in services.GetServices<IHybridCacheSerializerFactory>())
        {
            if (factory.TryCreateSerializer<T>(out var made))
            {
                return new Adapter<T>(made);
            }
        }
        return null;
    }

    private sealed class Adapter<T>(IHybridCacheSerializer<T> serializer) : IGenfenceSerializer<T>
    {
        public void Serialize(T value, IBufferWriter<byte> target) => serializer.Serialize(value, target);

        public T Deserialize(ReadOnlySpan<byte> bytes) =>
            serializer.Deserialize(new ReadOnlySequence<byte>(bytes.ToArray()));
    }
}
