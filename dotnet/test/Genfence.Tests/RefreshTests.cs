using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;

namespace Genfence.Tests;

/// <summary>Values that are loaded anew before they end, while they go on being served.</summary>
public sealed class RefreshTests : CacheTest
{
    private readonly TaskCompletionSource<string> _source = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _loads;

    protected override string Url => "memory://?ttl=5m&refresh_at=0.8";

    private async ValueTask<string> LoadAsync(CancellationToken cancellation)
    {
        Interlocked.Increment(ref _loads);
        return await _source.Task.WaitAsync(cancellation);
    }

    private ValueTask<string?> ReadAsync(CancellationToken cancellation = default) =>
        Cache.GetOrFillAsync("k", LoadAsync, cancellationToken: cancellation);

    /// <summary>All of the value's life is over but some seconds, and nothing was waited for.</summary>
    private static async Task SetDueAsync(GenfenceCache cache, string key = "k")
    {
        Assert.Equal(SetOutcome.Stored, await cache.SetAsync(key, "old").Within());
        Assert.Equal(TouchOutcome.Done, await cache.TouchAsync(key, TimeSpan.FromSeconds(20)).Within());
    }

    private async Task SetDueAsync() => await SetDueAsync(Cache);

    private Task UntilLoadsAsync(int count) => Support.UntilAsync(() => Volatile.Read(ref _loads) >= count);

    private async Task<string?> StoredAsync(string key = "k") => Support.Text(await Cache.GetAsync(key).Within());

    [Fact]
    public async Task A_hit_that_is_due_is_not_delayed_and_the_new_value_is_there_when_it_was_loaded()
    {
        await SetDueAsync();
        for (var i = 0; i < 10; i++)
        {
            var read = ReadAsync();
            Assert.True(read.IsCompleted, "the embedded store has it at hand");
            Assert.Equal("old", await read);
        }
        await UntilLoadsAsync(1);
        _source.SetResult("new");
        await Support.UntilAsync(() => Cache.Stats.Refreshed == 1);
        Assert.Equal("new", await StoredAsync());
        Assert.Equal("new", await ReadAsync().Within());
        Assert.Equal((1, 1L, 0L), (_loads, Cache.Stats.Refreshes, Cache.Stats.RefreshesFailed));
    }

    [Fact]
    public async Task The_other_overloads_load_anew_as_well()
    {
        await using var provider = new ServiceCollection().AddSingleton(Cache).AddGenfenceHybridCache().BuildServiceProvider();
        var hybrid = provider.GetRequiredService<HybridCache>();
        var ways = new Dictionary<string, Func<string, ValueTask<string?>>>
        {
            ["state"] = key => Cache.GetOrFillAsync(key, "new", (state, _) => ValueTask.FromResult(state)),
            ["fresh"] = key => Cache.GetOrFillAsync(key, _ => ValueTask.FromResult(new Fresh<string>("new"))),
            // Too long to be looked for on the caller's stack: as where the store is on a network.
            [new string('k', 300)] = key => Cache.GetOrFillAsync(key, _ => ValueTask.FromResult("new")),
            ["both"] = key => Cache.GetOrFillAsync(key, "new", (state, _) => ValueTask.FromResult(new Fresh<string>(state))),
            ["hybrid"] = key => hybrid.GetOrCreateAsync(key, _ => ValueTask.FromResult<string?>("new")),
            ["hybrid for a time"] = key => hybrid.GetOrCreateAsync(
                key, _ => ValueTask.FromResult<string?>("new"), new() { Expiration = TimeSpan.FromMinutes(1) }),
        };
        var refreshed = 0;
        foreach (var (key, read) in ways)
        {
            await SetDueAsync(Cache, key);
            Assert.Equal("old", await read(key).Within());
            refreshed++;
            await Support.UntilAsync(() => Cache.Stats.Refreshed == refreshed);
            Assert.Equal("new", await StoredAsync(key));
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData(1)]
    public async Task What_bears_tags_is_loaded_anew_through_HybridCache_and_bears_them_still(int? minutes)
    {
        await using var cache = await GenfenceCache.ConnectAsync($"{Url}&tags=true");
        await using var provider = new ServiceCollection().AddSingleton(cache).AddGenfenceHybridCache().BuildServiceProvider();
        var hybrid = provider.GetRequiredService<HybridCache>();
        ValueTask<string> Read() => hybrid.GetOrCreateAsync(
            "k",
            _ => ValueTask.FromResult("new"),
            minutes is { } time ? new() { Expiration = TimeSpan.FromMinutes(time) } : null,
            ["group"]);
        await SetDueAsync(cache.Tagged("group"));
        var read = Read();
        Assert.True(read.IsCompleted, "the embedded store has it at hand");
        Assert.Equal("old", await read);
        await Support.UntilAsync(() => cache.Stats.Refreshed == 1);
        Assert.Equal("new", await Read().Within());
        Assert.Equal((2L, 1L), (cache.Stats.Hits, cache.Stats.Refreshes));
        await cache.PurgeTagAsync("group").Within();
        Assert.Null(await cache.GetAsync("k").Within());
    }

    [Fact]
    public async Task A_factory_that_fails_is_logged_once_and_not_asked_again_at_once()
    {
        var lines = new Lines();
        await using var cache = await GenfenceCache.ConnectAsync(Url, new GenfenceOptions { LoggerFactory = lines });
        await SetDueAsync(cache);
        var asked = 0;
        ValueTask<string> Fail(CancellationToken cancellation)
        {
            Interlocked.Increment(ref asked);
            throw new InvalidOperationException("the source is down");
        }
        for (var i = 0; i < 10; i++)
        {
            Assert.Equal("old", await cache.GetOrFillAsync("k", Fail).Within());
        }
        await Support.UntilAsync(() => cache.Stats.RefreshesFailed == 1);
        Assert.Equal("old", await cache.GetOrFillAsync("k", Fail).Within());
        Assert.Equal(1, asked);
        bool IsTold(string line) => line.Contains("not loaded anew", StringComparison.Ordinal);
        await Support.UntilAsync(() => lines.Written.Any(IsTold));
        Assert.Single(lines.Written, IsTold);
        Assert.Equal(0, cache.Connection.Failures.Count);
    }

    [Fact]
    public async Task What_was_loaded_beside_a_writer_is_not_stored()
    {
        await SetDueAsync();
        Assert.Equal("old", await ReadAsync().Within());
        await UntilLoadsAsync(1);
        await Cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(SourceResult.Committed("newer"))).Within();
        _source.SetResult("read before");
        await Support.AssertNothingIsInFlightAsync();
        Assert.Equal("newer", await StoredAsync());
        Assert.Equal((1L, 0L, 0L), (Cache.Stats.Refreshes, Cache.Stats.Refreshed, Cache.Stats.RefreshesFailed));
    }

    [Fact]
    public async Task The_callers_own_token_and_context_do_not_reach_what_goes_on_behind_it()
    {
        var local = new AsyncLocal<string?> { Value = "of the caller's request" };
        using var caller = new CancellationTokenSource();
        await SetDueAsync();
        string? seen = "not asked";
        CancellationToken given = default;
        Assert.Equal("old", await Cache.GetOrFillAsync(
            "k",
            async cancellation =>
            {
                seen = local.Value;
                given = cancellation;
                return await LoadAsync(cancellation);
            },
            cancellationToken: caller.Token).Within());
        await caller.CancelAsync();
        await UntilLoadsAsync(1);
        Assert.Null(seen);
        Assert.False(given.IsCancellationRequested);
        _source.SetResult("new");
        await Support.UntilAsync(() => Cache.Stats.Refreshed == 1);
        Assert.Equal("new", await StoredAsync());
    }

    [Fact]
    public async Task Disposing_the_cache_cancels_what_goes_on_in_the_background()
    {
        var cache = await GenfenceCache.ConnectAsync(Url);
        await SetDueAsync(cache);
        CancellationToken given = default;
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Assert.Equal("old", await cache.GetOrFillAsync("k", async cancellation =>
        {
            given = cancellation;
            try
            {
                return await LoadAsync(cancellation);
            }
            finally
            {
                ended.SetResult();
            }
        }).Within());
        await UntilLoadsAsync(1);
        await cache.DisposeAsync().AsTask().WaitAsync(Support.Patience);
        await ended.Task.WaitAsync(Support.Patience);
        Assert.True(given.IsCancellationRequested);
    }

    [Fact]
    public async Task What_is_not_due_is_not_loaded()
    {
        Assert.Equal(SetOutcome.Stored, await Cache.SetAsync("k", "old").Within());
        Assert.Equal("old", await ReadAsync().Within());
        await using var without = await GenfenceCache.ConnectAsync("memory://?ttl=5m");
        await SetDueAsync(without);
        Assert.Equal("old", await without.GetOrFillAsync("k", LoadAsync).Within());
        await Support.AssertNothingIsInFlightAsync();
        Assert.Equal(0, _loads);
    }
}
