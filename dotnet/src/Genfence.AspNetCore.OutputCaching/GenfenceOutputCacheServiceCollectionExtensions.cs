using Genfence;
using Genfence.AspNetCore.OutputCaching;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.OutputCaching;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers genfence as the store of ASP.NET Core's output caching.</summary>
public static class GenfenceOutputCacheServiceCollectionExtensions
{
    /// <summary>
    /// Puts output caching (<c>AddOutputCache</c>, before or after this) on the registered <see cref="GenfenceCache"/>, which must have the
    /// option <see cref="GenfenceSettings.Tags"/>: a response that was rendered before one of its tags was evicted, purged, or changed by
    /// <see cref="GenfenceCache.UpdateTagAsync"/> is served to nobody who comes after that, whichever process it was.
    /// </summary>
    /// <param name="services">Where to.</param>
    /// <param name="serviceKey">The key of the cache, where it is one of <c>AddKeyedGenfence</c>.</param>
    /// <returns>The services.</returns>
    /// <remarks>
    /// <para>
    /// A response is stored where all its tags were named when it was looked for: by policies and attributes, such as <c>Tag("hats")</c>. One whose tags
    /// are named while it is rendered is not stored that time; the process remembers them, and the next response of that key is.
    /// A response that another request renders at the same time is not stored twice.
    /// </para>
    /// <para>
    /// The tags are those of the cache: where other values bear the same, an eviction is theirs, too, and <c>*</c> is all there is. Of requests
    /// that wait for one that renders (<c>SetLocking</c>) the middleware itself gives each what that one made.
    /// </para>
    /// </remarks>
    /// <exception cref="GenfenceInvalidException">When the store is made, as the host starts: the cache has no tags.</exception>
    public static IServiceCollection AddGenfenceOutputCache(this IServiceCollection services, string? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        services.AddHttpContextAccessor();
        return services.Replace(ServiceDescriptor.Singleton<IOutputCacheStore>(provider => new GenfenceOutputCacheStore(
            serviceKey is null
                ? provider.GetRequiredService<GenfenceCache>()
                : provider.GetRequiredKeyedService<GenfenceCache>(serviceKey),
            provider.GetRequiredService<IHttpContextAccessor>(),
            provider.GetRequiredService<ILogger<GenfenceOutputCacheStore>>())));
    }
}
