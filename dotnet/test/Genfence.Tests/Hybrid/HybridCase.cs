using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;

namespace Genfence.Tests.Hybrid;

/// <summary>
/// What a program does with a <see cref="HybridCache"/>, and what comes of it, in words. The same case is asked of Microsoft's and of
/// ours; where they differ it says both answers, and docs/hybridcache.md says why.
/// </summary>
/// <param name="Name">What goes wrong without it.</param>
/// <param name="Run">Does it, and tells what came of it.</param>
/// <param name="Answer">Of all that have none of their own.</param>
internal sealed record HybridCase(string Name, Func<HybridWorld, Task<string>> Run, string Answer)
{
    /// <summary>Of Microsoft's, in both of its shapes.</summary>
    public string? Microsoft { get; init; }

    /// <summary>Of Microsoft's without a distributed cache.</summary>
    public string? Local { get; init; }

    /// <summary>Of Microsoft's with one.</summary>
    public string? Layered { get; init; }

    /// <summary>What the case adds to the services.</summary>
    public Action<IServiceCollection> Services { get; init; } = _ => { };

    /// <summary>It has to do with tags, which ours has where it is told to.</summary>
    public bool Tags { get; init; }

    /// <summary>It moves the time, which <c>memory://</c> has no way for.</summary>
    public bool MovesTime { get; init; }

    public string Of(HybridHost host) => host switch
    {
        HybridHost.Local => Local ?? Microsoft ?? Answer,
        HybridHost.Layered => Layered ?? Microsoft ?? Answer,
        _ => Answer,
    };

    public static HybridEntry Flagged(HybridCacheEntryFlags flags) => new(null, null, flags);
}

/// <summary>Options of a call, shorter to write.</summary>
internal readonly record struct HybridEntry(TimeSpan? Expiration, TimeSpan? Local, HybridCacheEntryFlags? Flags)
{
    public static implicit operator HybridCacheEntryOptions(HybridEntry entry) =>
        new() { Expiration = entry.Expiration, LocalCacheExpiration = entry.Local, Flags = entry.Flags };
}

/// <summary>Whose cache it is.</summary>
public enum HybridHost
{
    /// <summary>Microsoft's, with nothing but the memory of the process.</summary>
    Local,

    /// <summary>Microsoft's, with a distributed cache behind that.</summary>
    Layered,

    /// <summary>Ours, embedded.</summary>
    Memory,

    /// <summary>Ours, on the wire test server.</summary>
    Wire,
}
