using Genfence;
using Genfence.Extensions.Caching;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

// Several caches in one service provider, each under a key that is the name of its options, too.
public static partial class GenfenceServiceCollectionExtensions
{
    /// <summary>
    /// Registers a <see cref="GenfenceCache"/> under a key, beside others; otherwise as
    /// <see cref="AddGenfence(IServiceCollection, string, Action{GenfenceServiceOptions})"/>.
    /// </summary>
    /// <param name="services">Where to.</param>
    /// <param name="serviceKey">
    /// The key; also the name of its options, and, unless they say another, its name in metrics.
    /// </param>
    /// <param name="url">See <see cref="GenfenceServiceOptions.Url"/>.</param>
    /// <param name="configure">Sets the other options.</param>
    /// <returns>The services.</returns>
    public static IServiceCollection AddKeyedGenfence(
        this IServiceCollection services,
        string serviceKey,
        string url,
        Action<GenfenceServiceOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(url);
        services.AddKeyedCache(serviceKey).Configure(options =>
        {
            options.Url = url;
            configure?.Invoke(options);
        });
        return services;
    }

    /// <summary>
    /// Registers a <see cref="GenfenceCache"/> under a key, beside others; otherwise as
    /// <see cref="AddGenfence(IServiceCollection, IConfigurationSection)"/>.
    /// </summary>
    /// <param name="services">Where to.</param>
    /// <param name="serviceKey">
    /// The key; also the name of its options, and, unless they say another, its name in metrics.
    /// </param>
    /// <param name="section">The section with the options.</param>
    /// <returns>The services.</returns>
    public static IServiceCollection AddKeyedGenfence(
        this IServiceCollection services, string serviceKey, IConfigurationSection section)
    {
        ArgumentNullException.ThrowIfNull(section);
        services.AddKeyedCache(serviceKey).Bind(section);
        return services;
    }

    /// <summary>
    /// Registers <see cref="HybridCache"/> under a key, on the <see cref="GenfenceCache"/> of the same key; otherwise as
    /// <see cref="AddGenfenceHybridCache"/>. Its <see cref="HybridCacheOptions"/> are those of the key's name.
    /// </summary>
    /// <param name="services">Where to.</param>
    /// <param name="serviceKey">The key.</param>
    /// <returns>The services.</returns>
    public static IServiceCollection AddKeyedGenfenceHybridCache(this IServiceCollection services, string serviceKey)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(serviceKey);
        return services.Replace(ServiceDescriptor.KeyedSingleton<HybridCache>(serviceKey, static (provider, key) =>
            Hybrid(provider, provider.GetRequiredKeyedService<GenfenceCache>(key), (string)key!)));
    }

    /// <summary>
    /// Registers <see cref="IDistributedCache"/> under a key, on the <see cref="GenfenceCache"/> of the same key; otherwise
    /// as <see cref="AddGenfenceDistributedCache"/>.
    /// </summary>
    /// <param name="services">Where to.</param>
    /// <param name="serviceKey">The key.</param>
    /// <returns>The services.</returns>
    public static IServiceCollection AddKeyedGenfenceDistributedCache(this IServiceCollection services, string serviceKey)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(serviceKey);
        return services.Replace(ServiceDescriptor.KeyedSingleton<IDistributedCache>(serviceKey, static (provider, key) =>
            Distributed(provider, provider.GetRequiredKeyedService<GenfenceCache>(key), (string)key!)));
    }

    /// <summary>
    /// Adds a health check of the <see cref="GenfenceCache"/> under a key; otherwise as
    /// <see cref="AddGenfence(IHealthChecksBuilder, string, HealthStatus?, IEnumerable{string}, TimeSpan?)"/>.
    /// </summary>
    /// <param name="builder">Where to.</param>
    /// <param name="serviceKey">The key.</param>
    /// <param name="name">Its name; else <c>genfence:</c> and the key.</param>
    /// <param name="failureStatus">What it says where the cache fails; else unhealthy.</param>
    /// <param name="tags">Its tags.</param>
    /// <param name="timeout">How long it may take.</param>
    /// <returns>The builder.</returns>
    public static IHealthChecksBuilder AddKeyedGenfence(
        this IHealthChecksBuilder builder,
        string serviceKey,
        string? name = null,
        HealthStatus? failureStatus = null,
        IEnumerable<string>? tags = null,
        TimeSpan? timeout = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(serviceKey);
        return builder.Add(new HealthCheckRegistration(
            name ?? $"genfence:{serviceKey}",
            services => new GenfenceHealthCheck(() => services.GetRequiredKeyedService<GenfenceCache>(serviceKey)),
            failureStatus,
            tags,
            timeout));
    }

    private static OptionsBuilder<GenfenceServiceOptions> AddKeyedCache(this IServiceCollection services, string serviceKey)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrEmpty(serviceKey);
        services.TryAddKeyedSingleton(serviceKey, static (provider, key) => Open(provider, (string)key!));
        services.AddStart(serviceKey, provider => provider.GetRequiredKeyedService<GenfenceCache>(serviceKey));
        return services.AddGenfenceOptions(serviceKey).Configure(options => options.Name = serviceKey);
    }
}
