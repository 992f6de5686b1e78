using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;

namespace Genfence.Tests;

/// <summary>Stale answers, for callers who ask for them, and loads that take too long.</summary>
public sealed class LastKnownTests : CacheTest
{
    private readonly TaskCompletionSource<string> _source = new(TaskCreationOptions.RunContinuationsAsynchronously);

    protected override string Url => "memory://?stale_for=1h&soft_timeout=20ms";

    private static ValueTask<string> Fail(CancellationToken cancellation) =>
        throw new InvalidOperationException("the source is down");

    /// <summary>A value that was loaded, and is gone from the cache.</summary>
    private static async Task KnowAsync(GenfenceCache cache, string value = "old")
    {
        Assert.Equal(value, await cache.GetOrFillAsync("k", _ => ValueTask.FromResult(value)).Within());
        await cache.InvalidateAsync("k").Within();
    }

    [Fact]
    public async Task A_source_that_is_down_is_no_exception_while_something_is_known()
    {
        await Assert.ThrowsAsync<InvalidOperationException>(() => Cache.GetOrFillOrStaleAsync("k", Fail).Within());
        await KnowAsync(Cache);
        var answer = await Cache.GetOrFillOrStaleAsync("k", Fail).Within();
        Assert.Equal(("old", true), (answer.Value, answer.IsStale));
        Assert.InRange(answer.Age, TimeSpan.Zero, Support.Patience);
        Assert.Null(await Cache.GetAsync("k").Within());
        Assert.Equal((0L, 1L), (Cache.Stats.Hits, Cache.Stats.StaleServed));
        await Assert.ThrowsAsync<InvalidOperationException>(() => Cache.GetOrFillAsync("k", Fail).Within());
        Assert.Equal(0, Cache.Connection.Failures.Count);
    }

    [Fact]
    public async Task What_is_there_or_loaded_in_time_is_not_stale()
    {
        await KnowAsync(Cache);
        foreach (var _ in Enumerable.Range(0, 2))
        {
            var answer = await Cache.GetOrFillOrStaleAsync("k", "new", (state, _) => ValueTask.FromResult(state)).Within();
            Assert.Equal(("new", false, TimeSpan.Zero), (answer.Value, answer.IsStale, answer.Age));
        }
        Assert.Equal("new", Support.Text(await Cache.GetAsync("k").Within()));
    }

    [Fact]
    public async Task A_slow_load_goes_on_behind_a_stale_answer_and_fills_though_its_caller_has_cancelled()
    {
        await KnowAsync(Cache);
        using var caller = new CancellationTokenSource();
        CancellationToken given = default;
        var answer = await Cache.GetOrFillOrStaleAsync(
            "k",
            async cancellation =>
            {
                given = cancellation;
                return await _source.Task.WaitAsync(cancellation);
            },
            cancellationToken: caller.Token).Within();
        Assert.Equal(("old", true), (answer.Value, answer.IsStale));
        await caller.CancelAsync();
        Assert.False(given.IsCancellationRequested);
        _source.SetResult("new");
        await Support.UntilAsync(() => Cache.Stats.FillsStored == 2);
        Assert.Equal("new", Support.Text(await Cache.GetAsync("k").Within()));
    }

    [Fact]
    public async Task Where_nothing_is_known_a_slow_load_is_waited_for_and_its_caller_can_go()
    {
        using var caller = new CancellationTokenSource();
        var waiting = Cache.GetOrFillOrStaleAsync("k", async _ => await _source.Task).AsTask();
        await Task.Delay(50);
        _source.SetResult("new");
        Assert.False((await waiting.WaitAsync(Support.Patience)).IsStale);
        var leaving = Cache.GetOrFillOrStaleAsync(
            "other", async cancellation => await Task.Delay(-1, cancellation).ContinueWith(_ => "late", TaskScheduler.Default), cancellationToken: caller.Token).AsTask();
        await caller.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => leaving.WaitAsync(Support.Patience));
    }

    [Fact]
    public async Task Disposing_the_cache_cancels_a_load_behind_a_stale_answer()
    {
        var cache = await GenfenceCache.ConnectAsync(Url);
        await KnowAsync(cache);
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var answer = await cache.GetOrFillOrStaleAsync("k", async cancellation =>
        {
            try
            {
                return await _source.Task.WaitAsync(cancellation);
            }
            finally
            {
                ended.SetResult();
            }
        }).Within();
        Assert.True(answer.IsStale);
        await cache.DisposeAsync().AsTask().WaitAsync(Support.Patience);
        await ended.Task.WaitAsync(Support.Patience);
    }

    [Fact]
    public async Task A_factory_that_takes_too_long_is_an_exception_of_its_own()
    {
        await using var cache = await GenfenceCache.ConnectAsync("memory://?hard_timeout=20ms&stale_for=1h");
        CancellationToken given = default;
        async ValueTask<string> Never(CancellationToken cancellation)
        {
            given = cancellation;
            return await _source.Task;
        }
        await Assert.ThrowsAsync<GenfenceLoadTimeoutException>(() => cache.GetOrFillAsync("k", Never).Within());
        await Support.UntilAsync(() => given.IsCancellationRequested);
        Assert.True(given.IsCancellationRequested);
        await Assert.ThrowsAsync<GenfenceLoadTimeoutException>(() => cache.GetOrFillManyAsync<string>(
            ["k", "l"], async (_, cancellation) => new Dictionary<string, string> { ["k"] = await Never(cancellation) }).Within());
        await KnowAsync(cache);
        Assert.True((await cache.GetOrFillOrStaleAsync("k", Never).Within()).IsStale);
    }

    [Fact]
    public async Task HybridCache_answers_with_stale_values_where_its_options_say_so_and_else_not()
    {
        foreach (var isAsked in new[] { false, true })
        {
            await using var provider = new ServiceCollection()
                .AddGenfence(Url, options => options.AnswerStale = isAsked).AddGenfenceHybridCache().BuildServiceProvider();
            var hybrid = provider.GetRequiredService<HybridCache>();
            await KnowAsync(provider.GetRequiredService<GenfenceCache>());
            foreach (var options in new[] { null, new HybridCacheEntryOptions { Expiration = TimeSpan.FromMinutes(1) } })
            {
                var read = () => hybrid.GetOrCreateAsync("k", Fail, options).Within();
                if (isAsked)
                {
                    Assert.Equal("old", await read());
                }
                else
                {
                    await Assert.ThrowsAsync<InvalidOperationException>(read);
                }
            }
        }
    }
}
