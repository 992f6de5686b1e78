using System.Text.Json;

namespace Genfence.Extensions.Caching;

/// <summary>How the cache of a service provider is opened.</summary>
public sealed class GenfenceServiceOptions : GenfenceSettings
{
    private JsonSerializerOptions? _json;

    /// <summary>Where, and how: <c>memory://?…</c> or <c>aerospike://…</c>. Required.</summary>
    public string? Url { get; set; }

    /// <summary>
    /// How long the start of the host waits for the cache, 0 to 10 min; default 5 s. The cache is opened at once and
    /// connects in the background, unless <see cref="GenfenceSettings.BackgroundConnect"/> is false, so that a host starts without it,
    /// with a warning: reads go to the source, and reserves follow <c>unreachable_reserve</c>, until it is there.
    /// </summary>
    public TimeSpan StartTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Whether a host whose cache is not there within <see cref="StartTimeout"/> does not start.</summary>
    public bool RequireAtStart { get; set; }

    /// <summary>
    /// For <c>IDistributedCache</c>: whether a set after a get that missed is guarded, for programs that read a source
    /// between the two. Such a set stores nothing where the key was changed meanwhile, or where it comes later than the
    /// option <c>load_time</c> (1 min) after the get; that is logged, and counted. Off, a set is a set: the last one
    /// wins. Off is right for sessions, beneath Microsoft's HybridCache, and beneath a FusionCache with a memory level or tags.
    /// </summary>
    public bool GuardMisses { get; set; }

    /// <summary>
    /// For <c>HybridCache</c>: whether <c>GetOrCreateAsync</c> answers with what this process last knew to be right, which may be stale, where the factory
    /// throws, or is slower than <see cref="GenfenceSettings.SoftTimeout"/>, as <c>GetOrFillOrStaleAsync</c> does. It needs
    /// <see cref="GenfenceSettings.StaleFor"/>. Nobody is told which value is stale: it is counted as <c>genfence.stale</c>, and logged every ten seconds at most.
    /// </summary>
    public bool AnswerStale { get; set; }

    /// <summary>Sets how values are written as JSON; see <see cref="GenfenceOptions.Json"/>.</summary>
    /// <param name="json">The options, such as those of a source-generated context.</param>
    public void UseJson(JsonSerializerOptions json) => _json = json;

    // No property, as a configuration cannot hold it.
    internal JsonSerializerOptions? GetJson() => _json;
}
