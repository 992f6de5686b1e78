using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Logging;

namespace Genfence.Extensions.Caching;

/// <summary>The strict door: get-or-create is the guarded fill.</summary>
internal sealed partial class GenfenceHybridCache(
    GenfenceCache cache, HybridSerializers serializers, HybridCacheOptions hybrid, bool answersStale, ILogger logger)
    : HybridCache
{
    // A copy in process is never stale, so nothing is gained by going around it; and nothing is compressed.
    private const HybridCacheEntryFlags WithoutEffect =
        HybridCacheEntryFlags.DisableLocalCache | HybridCacheEntryFlags.DisableCompression;

    /// <summary>The tag that every value bears.</summary>
    private const string Everything = "*";

    // What is set later does not count, as in Microsoft's.
    private readonly HybridCacheEntryOptions? _defaults = hybrid.DefaultEntryOptions;
    private readonly int _longestKey = hybrid.MaximumKeyLength;

    private readonly HybridWatch _watch = new();

    private int _badKeys;
    private bool _hasTags;

    public override ValueTask<T> GetOrCreateAsync<TState, T>(
        string key,
        TState state,
        Func<TState, CancellationToken, ValueTask<T>> factory,
        HybridCacheEntryOptions? options = null,
        IEnumerable<string>? tags = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        var borne = tags is null ? null : Checked(tags);
        options = WithDefaults(options);
        var flags = options?.Flags ?? HybridCacheEntryFlags.None;
        if (IsBad(key))
        {
            return (flags & HybridCacheEntryFlags.DisableUnderlyingData) == 0 ? factory(state, cancellationToken) : default;
        }
        var serializer = serializers.Find<T>();
        var isSpecial = (flags & ~WithoutEffect) != 0 || options?.Expiration <= TimeSpan.Zero;
        if (HybridEvents.IsEnabled)
        {
            return GetWatchedAsync(key, state, factory, options, serializer, isSpecial, borne, cancellationToken);
        }
        // A hit that is at hand needs no handle, unless it is to be loaded anew.
        if (!isSpecial && cache.TryHit(key, serializer, cancellationToken, out var hit, out var due))
        {
            if (due != 0)
            {
                Bearing(borne).LoadBehind(key, due, (state, factory, Expirations.Capped(options?.Expiration)), LoadFor, serializer);
            }
            return new(hit!);
        }
        return GetAsync(key, state, factory, options, serializer, isSpecial, borne, cancellationToken);
    }

    private ValueTask<T> GetAsync<TState, T>(
        string key,
        TState state,
        Func<TState, CancellationToken, ValueTask<T>> factory,
        HybridCacheEntryOptions? options,
        IGenfenceSerializer<T> serializer,
        bool isSpecial,
        string[]? tags,
        CancellationToken cancellation)
    {
        if (isSpecial)
        {
            return Special(key, state, factory, options!, serializer, tags, cancellation);
        }
        var filled = Fill(Bearing(tags), key, state, factory, options?.Expiration, serializer, cancellation);
#pragma warning disable CS8619 // T says itself whether there can be nothing.
        // What is wrong with a key is known before anything is done.
        return filled.IsFaulted ? WithoutKey(filled, state, factory, cancellation) : filled;
#pragma warning restore CS8619
    }

    /// <summary>As <c>GetAsync</c>, and tells those who listen.</summary>
    private async ValueTask<T> GetWatchedAsync<TState, T>(
        string key,
        TState state,
        Func<TState, CancellationToken, ValueTask<T>> factory,
        HybridCacheEntryOptions? options,
        IGenfenceSerializer<T> serializer,
        bool isSpecial,
        string[]? tags,
        CancellationToken cancellation)
    {
        var flags = options?.Flags ?? HybridCacheEntryFlags.None;
        var call = _watch.Begin(key, (flags & HybridCacheEntryFlags.DisableDistributedCacheRead) == 0);
        try
        {
            var value = await GetAsync(
                key,
                (state, factory, call),
                static (all, cancellation) => all.call.LoadAsync(all.state, all.factory, cancellation),
                options,
                serializer,
                isSpecial,
                tags,
                cancellation).ConfigureAwait(false);
            if (call.Loaded && (flags & HybridCacheEntryFlags.DisableDistributedCacheWrite) == 0
                && !(options?.Expiration <= TimeSpan.Zero))
            {
                HybridEvents.Tell.DistributedCacheWrite();
            }
            // Without a source nothing says whether a default was found.
            if ((flags & HybridCacheEntryFlags.DisableUnderlyingData) != 0
                && EqualityComparer<T>.Default.Equals(value, default))
            {
                call.Miss();
            }
            else
            {
                call.Hit();
            }
            return value;
        }
        catch (Exception problem)
        {
            call.Failed(problem is OperationCanceledException && cancellation.IsCancellationRequested);
            throw;
        }
        finally
        {
            call.End();
        }
    }

    /// <summary>A key that no cache of this kind can have costs a read of the source, and no exception.</summary>
    private async ValueTask<T> WithoutKey<TState, T>(
        ValueTask<T?> filled,
        TState state,
        Func<TState, CancellationToken, ValueTask<T>> factory,
        CancellationToken cancellation)
    {
        try
        {
            return (await filled.ConfigureAwait(false))!;
        }
        catch (GenfenceInvalidException bad) when (bad.Field == "key")
        {
            TellOfBadKey(bad.Message);
            return await factory(state, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Whether it is none of <see cref="HybridCache"/>'s, which is said then. Its bytes are the cache's to look at.</summary>
    private bool IsBad(string? key)
    {
        if (key is { Length: > 0 } && key.Length <= _longestKey)
        {
            return false;
        }
        TellOfBadKey(string.IsNullOrEmpty(key) ? "it is empty" : $"it has {key.Length} characters, and MaximumKeyLength is {_longestKey}");
        return true;
    }

    private void TellOfBadKey(string problem)
    {
        if (Interlocked.Exchange(ref _badKeys, 1) == 0)
        {
            BadKey(logger, problem);
        }
    }

    [LoggerMessage(4, LogLevel.Warning,
        "nothing is cached under keys that are out of bounds, which is said once: {Problem}")]
    private static partial void BadKey(ILogger logger, string problem);

    [LoggerMessage(5, LogLevel.Warning,
        "an expiration that is not above zero stores nothing, and removes what is there: {Expiration}")]
    private static partial void Expired(ILogger logger, TimeSpan expiration);

    public override async ValueTask SetAsync<T>(
        string key,
        T value,
        HybridCacheEntryOptions? options = null,
        IEnumerable<string>? tags = null,
        CancellationToken cancellationToken = default)
    {
        var borne = tags is null ? null : Checked(tags);
        options = WithDefaults(options);
        if ((options?.Flags & HybridCacheEntryFlags.DisableDistributedCacheWrite) is not (null or HybridCacheEntryFlags.None))
        {
            return;
        }
        if (options?.Expiration is { } expiration && expiration <= TimeSpan.Zero)
        {
            Expired(logger, expiration);
            await RemoveAsync(key, cancellationToken).ConfigureAwait(false);
            return;
        }
        await UnlessBad(key, () => StoreAsync(key, value, options, borne, cancellationToken)).ConfigureAwait(false);
    }

    /// <summary>What is too large is not stored, which was logged, and what it was to replace goes.</summary>
    private async ValueTask StoreAsync<T>(
        string key, T value, HybridCacheEntryOptions? options, string[]? tags, CancellationToken cancellation)
    {
        var stored = await Bearing(tags).SetWithinAsync(
            key, value, Expirations.Capped(options?.Expiration), serializers.Find<T>(), cancellation).ConfigureAwait(false);
        if (stored == SetOutcome.TooLarge)
        {
            await cache.InvalidateAsync(key, null, cancellation).ConfigureAwait(false);
        }
        else if (stored == SetOutcome.Stored && HybridEvents.IsEnabled)
        {
            HybridEvents.Tell.DistributedCacheWrite();
        }
    }

    public override async ValueTask RemoveAsync(string key, CancellationToken cancellationToken = default) =>
        await UnlessBad(key, () => cache.InvalidateAsync(key, null, cancellationToken)).ConfigureAwait(false);

    private async ValueTask UnlessBad(string key, Func<ValueTask> call)
    {
        if (IsBad(key))
        {
            return;
        }
        try
        {
            await call().ConfigureAwait(false);
        }
        catch (GenfenceInvalidException bad) when (bad.Field == "key")
        {
            TellOfBadKey(bad.Message);
        }
    }

    public override ValueTask RemoveByTagAsync(string tag, CancellationToken cancellationToken = default) =>
        RemoveByTagAsync([tag], cancellationToken);

    public override async ValueTask RemoveByTagAsync(IEnumerable<string> tags, CancellationToken cancellationToken = default)
    {
        ThrowIfTagsAreOff();
        // As Microsoft's: a value has no tag of blanks.
        string[] named = [.. (tags ?? []).Where(tag => !string.IsNullOrWhiteSpace(tag))];
        await cache.PurgeTagsAsync(named, cancellationToken).ConfigureAwait(false);
        if (HybridEvents.IsEnabled)
        {
            foreach (var tag in named)
            {
                if (tag != Everything)
                {
                    HybridEvents.Tell.TagInvalidated();
                }
            }
        }
    }

    private static async ValueTask<T?> ValueOf<T>(ValueTask<Answer<T>> answer) => (await answer.ConfigureAwait(false)).Value;

    private ValueTask<T?> Fill<TState, T>(
        GenfenceCache cache,
        string key,
        TState state,
        Func<TState, CancellationToken, ValueTask<T>> factory,
        TimeSpan? expiration,
        IGenfenceSerializer<T> serializer,
        CancellationToken cancellation)
    {
        // Before the source is read for nothing.
        var all = (state, factory, Expirations.Capped(expiration));
        return answersStale
            ? ValueOf(cache.GetOrFillOrStaleAsync(key, all, LoadFor, serializer, cancellation))
            : cache.GetOrFillAsync(key, all, LoadFor, serializer, cancellation);
    }

    private static async ValueTask<Fresh<T>> LoadFor<TState, T>(
        (TState State, Func<TState, CancellationToken, ValueTask<T>> Factory, TimeSpan? Expiration) all,
        CancellationToken cancellation) =>
        new(await all.Factory(all.State, cancellation).ConfigureAwait(false), null, all.Expiration);

    /// <summary>Without reading the cache, without writing to it, or without the source.</summary>
    private async ValueTask<T> Special<TState, T>(
        string key,
        TState state,
        Func<TState, CancellationToken, ValueTask<T>> factory,
        HybridCacheEntryOptions options,
        IGenfenceSerializer<T> serializer,
        string[]? tags,
        CancellationToken cancellation)
    {
        var flags = options.Flags ?? HybridCacheEntryFlags.None;
        var read = (flags & HybridCacheEntryFlags.DisableDistributedCacheRead) == 0;
        var write = (flags & HybridCacheEntryFlags.DisableDistributedCacheWrite) == 0;
        var source = (flags & HybridCacheEntryFlags.DisableUnderlyingData) == 0;
        if (options.Expiration is { } expiration && expiration <= TimeSpan.Zero)
        {
            if (write)
            {
                Expired(logger, expiration);
                await RemoveAsync(key, cancellation).ConfigureAwait(false);
            }
            return source ? await factory(state, cancellation).ConfigureAwait(false) : default!;
        }
        if (write && source)
        {
            // Only the read is off: what is there goes, and the fill is as guarded as any.
            await RemoveAsync(key, cancellation).ConfigureAwait(false);
            return await WithoutKey(
                Fill(Bearing(tags), key, state, factory, options.Expiration, serializer, cancellation), state, factory, cancellation)
                .ConfigureAwait(false);
        }
        if (source)
        {
            return await WithoutKey(
                cache.GetOrLoadAsync(key, state, factory, serializer, !read, cancellation), state, factory, cancellation)
                .ConfigureAwait(false);
        }
        if (read)
        {
            T? hit = default;
            var found = false;
            await UnlessBad(key, async () =>
                (found, hit) = await cache.TryGetAsync(key, serializer, cancellation).ConfigureAwait(false))
                .ConfigureAwait(false);
            if (found)
            {
                return hit!;
            }
        }
        return default!;
    }

    /// <summary>The cache, for values that bear these tags.</summary>
    private GenfenceCache Bearing(string[]? tags) => tags is null ? cache : cache.Bearing(tags);

    /// <summary>The tags, where there are some. As Microsoft's they are neither blank nor that of all values.</summary>
    private string[]? Checked(IEnumerable<string> tags)
    {
        string[] all = [.. tags];
        if (all.Length == 0)
        {
            return null;
        }
        ThrowIfTagsAreOff();
        foreach (var tag in all)
        {
            if (string.IsNullOrWhiteSpace(tag) || tag == Everything)
            {
                throw new ArgumentException(tag == Everything ? "every value bears the tag *" : "a tag is empty, or blank", nameof(tags));
            }
        }
        return all;
    }

    private void ThrowIfTagsAreOff()
    {
        if (_hasTags)
        {
            return;
        }
        try
        {
            _ = cache.Tagged();
        }
        catch (GenfenceInvalidException off)
        {
            throw new NotSupportedException(
                "the cache has no tags: write tags=true into its URL, or set Tags in its options, in all programs alike", off);
        }
        _hasTags = true;
    }

    /// <summary>What the call does not say, the defaults say, as in Microsoft's.</summary>
    private HybridCacheEntryOptions? WithDefaults(HybridCacheEntryOptions? options) =>
        options is null || _defaults is null ? options ?? _defaults
        : options is { Expiration: not null, Flags: not null } ? options
        : new HybridCacheEntryOptions
        {
            Expiration = options.Expiration ?? _defaults.Expiration,
            Flags = options.Flags ?? _defaults.Flags,
        };
}
