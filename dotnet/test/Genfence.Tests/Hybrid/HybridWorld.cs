using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Internal;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;

namespace Genfence.Tests.Hybrid;

/// <summary>A <see cref="HybridCache"/> as one host registers it, and what a case asks of it.</summary>
internal sealed class HybridWorld : IAsyncDisposable
{
    private readonly ServiceProvider _provider;
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private readonly WireServer _wire;

    public HybridWorld(HybridHost host, WireServer wire, Action<IServiceCollection> services, bool tags = false)
    {
        Host = host;
        _wire = wire;
        var all = new ServiceCollection().AddSingleton<ILoggerFactory>(Lines);
        services(all);
        if (IsOurs)
        {
            var prefix = $"{Guid.NewGuid():N}:";
            // A busy machine is no lost answer, and its clock is moved by hand.
            var url = host == HybridHost.Memory
                ? $"memory://?wait=20s&lease_time=1m&tags={(tags ? "true" : "false")}"
                : $"aerospike://{wire.Address}/test/{(tags ? "tagged" : "cache")}?prefix={prefix}&wait=20s&lease_time=1m&ttl_jitter=0&timeout=5s&cluster_guard=off"
                    + (tags ? "&tags=true" : "");
            all.AddGenfence(url).AddGenfenceHybridCache();
            all.AddKeyedGenfence("other", "memory://").AddKeyedGenfenceHybridCache("other");
        }
        else
        {
            var clock = new Clock(_time);
            all.AddSingleton<TimeProvider>(_time).Configure<MemoryCacheOptions>(options => options.Clock = clock);
            if (host == HybridHost.Layered)
            {
                all.Configure<MemoryDistributedCacheOptions>(options => options.Clock = clock).AddSingleton<IDistributedCache, Distributed>();
            }
            all.AddHybridCache();
            all.AddKeyedHybridCache("other");
        }
        _provider = all.BuildServiceProvider();
        Cache = _provider.GetRequiredService<HybridCache>();
    }

    public HybridHost Host { get; }

    public bool IsOurs => Host is HybridHost.Memory or HybridHost.Wire;

    public HybridCache Cache { get; }

    /// <summary>The one that is registered under a key.</summary>
    public HybridCache Other => _provider.GetRequiredKeyedService<HybridCache>("other");

    public Lines Lines { get; } = new() { Least = LogLevel.Warning };

    /// <summary>How often a factory of <see cref="GetAsync"/> ran.</summary>
    public int Loads { get; private set; }

    /// <summary>Gets, and where that misses creates this.</summary>
    public async Task<T> GetAsync<T>(
        string key, T value, HybridCacheEntryOptions? options = null, HybridCache? cache = null, IEnumerable<string>? tags = null) =>
        await (cache ?? Cache).GetOrCreateAsync(
            key,
            _ =>
            {
                Loads++;
                return ValueTask.FromResult(value);
            },
            options,
            tags).Within();

    public async Task SetAsync<T>(
        string key, T value, HybridCacheEntryOptions? options = null, IEnumerable<string>? tags = null) =>
        await Cache.SetAsync(key, value, options, tags).Within();

    /// <summary>Microsoft's compares moments, and what was created in that of the removal counts as removed.</summary>
    public async Task RemoveByTagAsync(params string[] tags)
    {
        _time.Advance(TimeSpan.FromMilliseconds(1));
        await (tags is [var tag] ? Cache.RemoveByTagAsync(tag) : Cache.RemoveByTagAsync(tags)).Within();
        _time.Advance(TimeSpan.FromMilliseconds(1));
    }

    public async Task RemoveAsync(string key) => await Cache.RemoveAsync(key).Within();

    /// <summary>What is kept under a key.</summary>
    public async Task<string> KeptAsync(string key) => await Cache.GetOrCreateAsync<string>(
        key,
        _ => throw new InvalidOperationException("no factory is to run"),
        new HybridCacheEntryOptions { Flags = HybridCacheEntryFlags.DisableUnderlyingData }).Within() ?? "nothing";

    /// <summary>What a call comes to: its value, or the name of its exception.</summary>
    public static async Task<string> TellAsync<T>(Func<ValueTask<T>> call)
    {
        try
        {
            return $"{await call().Within()}";
        }
        catch (Exception problem) when (problem is not Xunit.Sdk.XunitException and not TimeoutException)
        {
            return problem.GetType().Name;
        }
    }

    /// <inheritdoc cref="TellAsync{T}"/>
    public static Task<string> TellAsync(Func<ValueTask> call) => TellAsync<string>(async () =>
    {
        await call();
        return "done";
    });

    /// <summary>So many callers load, or wait for one who does. In Microsoft's a call that has returned its task waits.</summary>
    public async Task WaitingAsync(int callers)
    {
        if (IsOurs)
        {
            var cache = _provider.GetRequiredService<GenfenceCache>();
            await Support.UntilAsync(() => cache.Stats.Misses >= callers);
        }
    }

    /// <summary>Moves the clock of whoever lets values expire.</summary>
    public async Task AdvanceAsync(TimeSpan time)
    {
        if (IsOurs)
        {
            await _wire.OrderAsync($"advance {(long)time.TotalMilliseconds}");
        }
        else
        {
            _time.Advance(time);
        }
    }

    public async ValueTask DisposeAsync() => await _provider.DisposeAsync();

    /// <summary>Another type than Microsoft's own, which it would take for the memory that it has already.</summary>
    private sealed class Distributed(IOptions<MemoryDistributedCacheOptions> options) : MemoryDistributedCache(options);

    private sealed class Clock(TimeProvider time) : ISystemClock
    {
        public DateTimeOffset UtcNow => time.GetUtcNow();
    }
}
