using System.Text.Json;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using ZiggyCreatures.Caching.Fusion;
using ZiggyCreatures.Caching.Fusion.Serialization;

namespace Genfence.Tests;

/// <summary>FusionCache with genfence as its distributed level: what docs/fusioncache.md says of it.</summary>
public sealed class FusionCacheTests : IAsyncLifetime
{
    private ServiceProvider? _provider;
    private string _source = "old";

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync()
    {
        if (_provider is not null)
        {
            await _provider.DisposeAsync();
        }
        await Support.AssertNothingIsAliveAsync();
    }

    private GenfenceCache Cache => _provider!.GetRequiredService<GenfenceCache>();

    private void Open(bool guardMisses) => _provider = new ServiceCollection()
        .AddGenfence("memory://?wait=20s&lease_time=1m", options => options.GuardMisses = guardMisses)
        .AddGenfenceDistributedCache().BuildServiceProvider();

    /// <summary>As the page says, but for the memory level.</summary>
    private FusionCache Fusion(bool memory, IDistributedCache? distributed = null)
    {
        var entry = new FusionCacheEntryOptions
        {
            Duration = TimeSpan.FromMinutes(5),
            SkipMemoryCacheRead = !memory,
            SkipMemoryCacheWrite = !memory,
            ReThrowDistributedCacheExceptions = true,
            AllowBackgroundDistributedCacheOperations = false,
            AllowTimedOutFactoryBackgroundCompletion = false,
            IsFailSafeEnabled = false,
        };
        var cache = new FusionCache(new FusionCacheOptions
        {
            DefaultEntryOptions = entry,
            DisableTagging = true,
            EnableAutoRecovery = false,
            DistributedCacheKeyModifierMode = CacheKeyModifierMode.None,
        });
        cache.SetupDistributedCache(distributed ?? _provider!.GetRequiredService<IDistributedCache>(), new JsonText());
        return cache;
    }

    /// <summary>Changes the source as every writer should; and what FusionCache has of the key is no value of ours, so it only goes.</summary>
    private async Task ChangeAsync(string to) => Assert.Equal(UpdateOutcome.Purged, await Cache.UpdateAsync("k", (_, _) =>
    {
        _source = to;
        return ValueTask.FromResult<SourceResult<string>>(SourceResult.Changed());
    }).Within());

    private ValueTask<string> ReadAsync(FusionCache cache) => cache.GetOrSetAsync("k", _ => Task.FromResult(_source));

    [Fact]
    public void A_default_that_is_another_than_the_page_says_would_be_left_as_it_is()
    {
        var (options, entry) = (new FusionCacheOptions(), new FusionCacheEntryOptions());
        Assert.Equal(
            (false, true, TimeSpan.Zero), (options.DisableTagging, options.EnableAutoRecovery, options.DistributedCacheCircuitBreakerDuration));
        Assert.Equal(
            (false, false, false, true, false, null),
            (entry.SkipMemoryCacheRead, entry.SkipMemoryCacheWrite, entry.AllowBackgroundDistributedCacheOperations,
                entry.AllowTimedOutFactoryBackgroundCompletion, entry.IsFailSafeEnabled, entry.EagerRefreshThreshold));
        Assert.False(entry.ReThrowDistributedCacheExceptions);
        Assert.All(
            [entry.FactorySoftTimeout, entry.FactoryHardTimeout, entry.DistributedCacheSoftTimeout, entry.DistributedCacheHardTimeout],
            timeout => Assert.Equal(Timeout.InfiniteTimeSpan, timeout));
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task With_its_memory_level_another_process_goes_on_serving_the_old_value(bool memory)
    {
        Open(guardMisses: true);
        using var one = Fusion(memory);
        using var other = Fusion(memory);
        Assert.Equal(("old", "old"), (await ReadAsync(one).Within(), await ReadAsync(other).Within()));
        await ChangeAsync("new");
        Assert.Equal(memory ? "old" : "new", await ReadAsync(other).Within());
        // Its own remove reaches no other's memory either.
        _source = "newer";
        await one.RemoveAsync("k").Within();
        Assert.Equal(memory ? "old" : "newer", await ReadAsync(other).Within());
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Without_guarded_misses_a_factory_that_a_writer_overtook_stores_the_old_value(bool guardMisses)
    {
        Open(guardMisses);
        using var one = Fusion(memory: false);
        using var other = Fusion(memory: false);
        Assert.Equal("old", await one.GetOrSetAsync<string>("k", async _ =>
        {
            var read = _source;
            await ChangeAsync("new");
            return read;
        }).AsTask().WaitAsync(Support.Patience));
        Assert.Equal(guardMisses ? "new" : "old", await ReadAsync(other).Within());
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task After_a_factory_that_threw_the_next_set_of_its_key_is_guarded_no_more(bool threw)
    {
        Open(guardMisses: true);
        using var one = Fusion(memory: false);
        if (threw)
        {
            await Assert.ThrowsAsync<FormatException>(() => one.GetOrSetAsync<string>("k", _ => throw new FormatException()).AsTask());
        }
        await one.GetOrSetAsync<string>("k", async _ =>
        {
            var read = _source;
            await ChangeAsync("new");
            return read;
        }).AsTask().WaitAsync(Support.Patience);
        // Nobody can tell which of the two misses the set belongs to.
        Assert.Equal(threw ? "old" : "new", await ReadAsync(one).Within());
    }

    [Fact]
    public async Task Callers_who_cross_are_guarded_no_more_as_its_lock_is_free_before_its_set()
    {
        Open(guardMisses: true);
        using var held = new HeldSet(_provider!.GetRequiredService<IDistributedCache>());
        using var one = Fusion(memory: false, held);
        var first = one.GetOrSetAsync<string>("k", async _ =>
        {
            var read = _source;
            await ChangeAsync("new");
            return read;
        }).AsTask();
        await held.Begun.WaitAsync(Support.Patience);
        // It misses, too, so nobody can tell which of the two misses the held set belongs to.
        Assert.Equal("new", await ReadAsync(one).Within());
        held.GoOn();
        await first.WaitAsync(Support.Patience);
        Assert.Equal("old", await ReadAsync(one).Within());
    }

    [Fact]
    public async Task Without_its_memory_level_it_reads_the_source_once_and_then_genfence()
    {
        Open(guardMisses: true);
        using var one = Fusion(memory: false);
        using var other = Fusion(memory: false);
        var loads = 0;
        for (var i = 0; i < 3; i++)
        {
            foreach (var cache in new[] { one, other })
            {
                Assert.Equal("old", await cache.GetOrSetAsync<string>("k", _ =>
                {
                    loads++;
                    return Task.FromResult(_source);
                }).AsTask().WaitAsync(Support.Patience));
            }
        }
        Assert.Equal((1, 1), (loads, Cache.Stats.FillsStored));
    }

    /// <summary>Holds the first set until the test says so.</summary>
    private sealed class HeldSet(IDistributedCache cache) : IDistributedCache, IDisposable
    {
        private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Begun => _begun.Task;

        public void GoOn() => _goOn.TrySetResult();

        public void Dispose() => GoOn();

        public async Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default)
        {
            if (_begun.TrySetResult())
            {
                await _goOn.Task.WaitAsync(Support.Patience, token);
            }
            await cache.SetAsync(key, value, options, token);
        }

        public byte[]? Get(string key) => cache.Get(key);

        public Task<byte[]?> GetAsync(string key, CancellationToken token = default) => cache.GetAsync(key, token);

        public void Set(string key, byte[] value, DistributedCacheEntryOptions options) => cache.Set(key, value, options);

        public void Refresh(string key) => cache.Refresh(key);

        public Task RefreshAsync(string key, CancellationToken token = default) => cache.RefreshAsync(key, token);

        public void Remove(string key) => cache.Remove(key);

        public Task RemoveAsync(string key, CancellationToken token = default) => cache.RemoveAsync(key, token);
    }

    private sealed class JsonText : IFusionCacheSerializer
    {
        public byte[] Serialize<T>(T? obj) => JsonSerializer.SerializeToUtf8Bytes(obj);

        public T? Deserialize<T>(byte[] data) => JsonSerializer.Deserialize<T>(data);

        public ValueTask<byte[]> SerializeAsync<T>(T? obj, CancellationToken token = default) => new(Serialize(obj));

        public ValueTask<T?> DeserializeAsync<T>(byte[] data, CancellationToken token = default) => new(Deserialize<T>(data));
    }
}
