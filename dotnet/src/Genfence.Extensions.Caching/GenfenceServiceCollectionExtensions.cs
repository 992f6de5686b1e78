using System.Diagnostics.CodeAnalysis;
using Genfence;
using Genfence.Extensions.Caching;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers genfence with a service provider.</summary>
public static partial class GenfenceServiceCollectionExtensions
{
    /// <summary>
    /// Registers a <see cref="GenfenceCache"/>. It connects in the background, for which the start of a host waits a
    /// while: see <see cref="GenfenceServiceOptions.StartTimeout"/>. The provider disposes it.
    /// </summary>
    /// <param name="services">Where to.</param>
    /// <param name="url">See <see cref="GenfenceServiceOptions.Url"/>.</param>
    /// <param name="configure">Sets the other options.</param>
    /// <returns>The services.</returns>
    public static IServiceCollection AddGenfence(
        this IServiceCollection services, string url, Action<GenfenceServiceOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(url);
        services.AddGenfenceOptions(Options.Options.DefaultName).Configure(options =>
        {
            options.Url = url;
            configure?.Invoke(options);
        });
        return services.AddCache();
    }

    /// <summary>
    /// Registers a <see cref="GenfenceCache"/> whose options stand in the configuration, under the names of
    /// <see cref="GenfenceServiceOptions"/>; otherwise as
    /// <see cref="AddGenfence(IServiceCollection, string, Action{GenfenceServiceOptions})"/>.
    /// </summary>
    /// <param name="services">Where to.</param>
    /// <param name="section">The section with the options.</param>
    /// <returns>The services.</returns>
    public static IServiceCollection AddGenfence(this IServiceCollection services, IConfigurationSection section)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(section);
        services.AddGenfenceOptions(Options.Options.DefaultName).Bind(section);
        return services.AddCache();
    }

    /// <summary>
    /// Registers <see cref="HybridCache"/> on the registered <see cref="GenfenceCache"/>, in the place of one that was
    /// registered before: get-or-create is the guarded
    /// fill, set is <c>SetAsync</c> (outside the guarantee), remove is <c>InvalidateAsync</c>. There is no copy in
    /// process, so local expirations and flags mean nothing; tags are not supported. A value is at most 1,020 KiB as
    /// bytes, unless the URL has another <c>max_value_bytes</c> (<c>?max_value_bytes=8MiB</c>; up to 119 MiB, where the
    /// server takes records of that size): one that is larger is returned, and not cached.
    /// </summary>
    /// <remarks>
    /// <para>
    /// As in Microsoft's, a value is written by the registered <see cref="IHybridCacheSerializer{T}"/> of its type, else by
    /// that of an <see cref="IHybridCacheSerializerFactory"/>; else text and bytes as they are, and the rest as JSON by the
    /// <see cref="System.Text.Json.JsonSerializerOptions"/> that are registered under the key
    /// <c>typeof(IHybridCacheSerializer&lt;T&gt;)</c>, or, for all types, <c>typeof(IHybridCacheSerializer&lt;&gt;)</c>.
    /// The latter are the cache's own, too, so that <c>UpdateAsync</c> writes alike, and those of
    /// <see cref="GenfenceServiceOptions.UseJson"/> go before them. Where a type has its own, pass <c>UpdateAsync</c>
    /// the same, as <see cref="GenfenceSerializer.Json{T}(System.Text.Json.JsonSerializerOptions)"/>.
    /// </para>
    /// <para>
    /// <see cref="HybridCacheOptions.DefaultEntryOptions"/> say what a call leaves out; without them a value lives for the
    /// cache's own time. Under a key longer than <see cref="HybridCacheOptions.MaximumKeyLength"/> nothing is cached, and no
    /// value larger than <see cref="HybridCacheOptions.MaximumPayloadBytes"/>, where that is set to another value than its default;
    /// either is logged once. Compression and tags in metrics are not there to be switched.
    /// </para>
    /// </remarks>
    /// <param name="services">Where to.</param>
    /// <returns>The services.</returns>
    public static IServiceCollection AddGenfenceHybridCache(this IServiceCollection services)
    {
        ArgumentNullException.ThrowIfNull(services);
        // One that was registered before would serve copies of the process, without a word.
        return services.Replace(ServiceDescriptor.Singleton<HybridCache>(
            static provider => Hybrid(provider, provider.GetRequiredService<GenfenceCache>(), Options.Options.DefaultName)));
    }

    /// <summary>
    /// Registers <see cref="IDistributedCache"/>, which is also an <see cref="IBufferDistributedCache"/>, on the registered
    /// <see cref="GenfenceCache"/>, in the place of one that was registered before: for sessions, FusionCache, or
    /// Microsoft's HybridCache. Keys are the cache's own: share none with <see cref="HybridCache"/> or your own calls.
    /// </summary>
    /// <remarks>
    /// <para>
    /// <b>A set stores, or throws, and the last one wins</b>; it is outside the guarantee, as no source is asked. A set
    /// that stores nothing, such as one of a value that is too large, removes the old value.
    /// </para>
    /// <para>
    /// With <see cref="GenfenceServiceOptions.GuardMisses"/>, for programs that read a source between get and set, a get
    /// that misses takes the key's lease where nobody has it, and waits for nobody. <b>A set after this process's
    /// only outstanding miss of that key is the conditional fill of the lease that the miss took</b>: it stores nothing
    /// where the key was changed, removed or set since, or where it comes later after its miss than the option
    /// <c>load_time</c> (1 min) allows: give a slower source a longer one in the URL. What is dropped so is logged, and
    /// counted as <c>genfence.sets.dropped</c> of the meter <c>Genfence</c>. <b>Any other set is an unconditional <c>SetAsync</c></b>,
    /// outside the guarantee: the last one wins, also with a value that was read before a change; beside a live writer of the
    /// key it stores nothing. So is each set of a key that has two outstanding misses, as nobody can tell whose set it is; of
    /// one whose miss met a writer, or another's lease; and one that no miss came before. No set says which of them it was,
    /// or whether it stored.
    /// </para>
    /// <para>
    /// <b>Never set what you did not get; remove instead.</b> Calling <c>Set</c> without a preceding
    /// <c>Get</c>, as a writer would, uses up another caller's lease; that caller's <c>Set</c> then becomes unconditional.
    /// </para>
    /// <para>
    /// A miss is outstanding until its set, or for ten minutes, of 1,024 keys at most; what is forgotten sooner is the
    /// key that was missed the longest time ago. A get that was cancelled, or threw as the store did not answer, counts
    /// for one minute as a miss without a lease. After a fill that threw, such as one that was too large, sets of that
    /// key store nothing until it is got again, or for ten minutes. A value past its absolute expiration, or written
    /// through another door, is a miss, and the get that takes its lease removes it. Removing a key ends no miss: what
    /// was read before the removal must not be set after it.
    /// </para>
    /// <para>
    /// A value is at most 1,020 KiB with the 24 bytes of its expirations, unless the URL has another
    /// <c>max_value_bytes</c> (<c>?max_value_bytes=8MiB</c>; up to 119 MiB, where the server takes records of that
    /// size). A set of a larger one throws.
    /// </para>
    /// <para>
    /// Without an expiration a value lives for the cache's own time. An absolute one is exact by this machine's clock, or
    /// the registered <see cref="TimeProvider"/>'s; one that is not in the future is an
    /// <see cref="ArgumentOutOfRangeException"/>, and nothing is changed. A sliding one is rounded up to whole seconds,
    /// prolonged by each get and refresh, and ends with the absolute one. It is the store's clock that counts for it.
    /// Where another <see cref="TimeProvider"/> than the system's is registered, such as a test's, that counts, too, and
    /// to the tick: each get of a sliding value then writes it anew, so let all processes have such a one, or none.
    /// </para>
    /// </remarks>
    /// <param name="services">Where to.</param>
    /// <returns>The services.</returns>
    public static IServiceCollection AddGenfenceDistributedCache(this IServiceCollection services)
    {
        ArgumentNullException.ThrowIfNull(services);
        return services.Replace(ServiceDescriptor.Singleton<IDistributedCache>(
            static provider => Distributed(provider, provider.GetRequiredService<GenfenceCache>(), Options.Options.DefaultName)));
    }

    /// <summary>
    /// Adds a health check that looks at what the registered <see cref="GenfenceCache"/> stands on: unhealthy where the
    /// cache does not answer, or does not work. Takes some seconds at most; do not run it every second.
    /// </summary>
    /// <param name="builder">Where to.</param>
    /// <param name="name">Its name.</param>
    /// <param name="failureStatus">What it says where the cache fails; else unhealthy.</param>
    /// <param name="tags">Its tags.</param>
    /// <param name="timeout">How long it may take.</param>
    /// <returns>The builder.</returns>
    public static IHealthChecksBuilder AddGenfence(
        this IHealthChecksBuilder builder,
        string name = "genfence",
        HealthStatus? failureStatus = null,
        IEnumerable<string>? tags = null,
        TimeSpan? timeout = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        return builder.Add(new HealthCheckRegistration(
            name,
            static services => new GenfenceHealthCheck(services.GetRequiredService<GenfenceCache>),
            failureStatus,
            tags,
            timeout));
    }

    private static IServiceCollection AddCache(this IServiceCollection services)
    {
        services.TryAddSingleton(static provider => Open(provider, Options.Options.DefaultName));
        return services.AddStart(
            Options.Options.DefaultName, static provider => provider.GetRequiredService<GenfenceCache>());
    }

    private static OptionsBuilder<GenfenceServiceOptions> AddGenfenceOptions(this IServiceCollection services, string name)
    {
        services.TryAddEnumerable(
            ServiceDescriptor.Singleton<IValidateOptions<GenfenceServiceOptions>, GenfenceServiceOptionsValidator>());
        return services.AddOptions<GenfenceServiceOptions>(name).ValidateOnStart();
    }

    /// <summary>
    /// Lets the <see cref="GenfenceCache"/> hear of changes by the source's stream of them, for as long as the host runs: see
    /// <see cref="GenfenceCache.FollowAsync"/>. One host of a region is enough, and several do no harm.
    /// </summary>
    /// <typeparam name="TSource">The stream: a singleton, which is added unless it was.</typeparam>
    /// <param name="services">Where to.</param>
    /// <param name="serviceKey">The key of the cache, where it was added under one.</param>
    /// <returns>The services.</returns>
    public static IServiceCollection AddGenfenceFollower<
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TSource>(
        this IServiceCollection services, string? serviceKey = null)
        where TSource : class, IChangeSource
    {
        ArgumentNullException.ThrowIfNull(services);
        services.TryAddSingleton<TSource>();
        return services.AddSingleton<IHostedService>(provider => new GenfenceFollower(
            () => serviceKey is null
                ? provider.GetRequiredService<GenfenceCache>()
                : provider.GetRequiredKeyedService<GenfenceCache>(serviceKey),
            provider.GetRequiredService<TSource>,
            provider.GetService<TimeProvider>() ?? TimeProvider.System,
            provider.GetService<ILoggerFactory>()?.CreateLogger<GenfenceFollower>() ?? NullLogger<GenfenceFollower>.Instance));
    }

    private static IServiceCollection AddStart(
        this IServiceCollection services, string name, Func<IServiceProvider, GenfenceCache> cache) =>
        services.AddSingleton<IHostedService>(provider => new GenfenceStart(
            () => cache(provider),
            provider.GetRequiredService<IOptionsMonitor<GenfenceServiceOptions>>().Get(name),
            provider.GetService<ILoggerFactory>()?.CreateLogger<GenfenceStart>() ?? NullLogger<GenfenceStart>.Instance));

    private static GenfenceCache Open(IServiceProvider provider, string name)
    {
        var options = provider.GetRequiredService<IOptionsMonitor<GenfenceServiceOptions>>().Get(name);
        return GenfenceCache.Open(
            options.Url!,
            new GenfenceOptions(options)
            {
                BackgroundConnect = options.BackgroundConnect ?? true,
                Json = options.GetJson() ?? HybridSerializers.JsonForAll(provider),
                LoggerFactory = provider.GetService<ILoggerFactory>(),
            });
    }

    private static GenfenceHybridCache Hybrid(IServiceProvider provider, GenfenceCache cache, string name)
    {
        var options = provider.GetService<IOptionsMonitor<HybridCacheOptions>>()?.Get(name) ?? new HybridCacheOptions();
        var logger = provider.GetService<ILoggerFactory>()?.CreateLogger<GenfenceHybridCache>()
            ?? NullLogger<GenfenceHybridCache>.Instance;
        var own = provider.GetService<IOptionsMonitor<GenfenceServiceOptions>>()?.Get(name);
        var serializers = new HybridSerializers(
            provider, cache, own?.GetJson() is not null, PayloadBound.Of(options, logger));
        return new GenfenceHybridCache(cache, serializers, options, own?.AnswerStale ?? false, logger);
    }

    private static GenfenceDistributedCache Distributed(IServiceProvider provider, GenfenceCache cache, string name) =>
        new(
            cache,
            provider.GetService<TimeProvider>() ?? TimeProvider.System,
            provider.GetService<IOptionsMonitor<GenfenceServiceOptions>>()?.Get(name).GuardMisses ?? false,
            provider.GetService<ILoggerFactory>()?.CreateLogger<GenfenceDistributedCache>());
}
