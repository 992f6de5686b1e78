using System.Runtime.CompilerServices;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Genfence.Tests;

public class DisposeTests
{
    [Fact]
    public async Task Calls_that_wait_end_when_the_cache_is_disposed()
    {
        var cache = await GenfenceCache.ConnectAsync(
            "memory://?wait=1m&lease_time=1m", new GenfenceOptions { CloseTimeout = TimeSpan.Zero });
        var held = (await cache.LookupAsync("k").Within()).Lease!;
        var waiting = Enumerable.Range(0, 100).Select(_ => cache.LookupAsync("k").AsTask()).ToArray();
        await cache.DisposeAsync().Within();
        foreach (var call in waiting)
        {
            await Assert.ThrowsAsync<GenfenceShutDownException>(() => call.WaitAsync(Support.Patience));
        }
        held.Dispose();
        await Support.AssertNothingIsAliveAsync();
    }

    [Fact]
    public async Task A_disposed_cache_refuses_every_call()
    {
        var cache = await GenfenceCache.ConnectAsync("memory://");
        var lease = (await cache.LookupAsync("l").Within()).Lease!;
        var reservation = await cache.ReserveAsync("r").Within();
        await cache.DisposeAsync().Within();
        await cache.DisposeAsync().Within();
        cache.Dispose();
        foreach (var call in new Func<Task>[]
        {
            () => cache.GetAsync("k").Within(),
            () => cache.LookupAsync("k").Within(),
            () => cache.ReserveAsync("k").Within(),
            () => cache.SetAsync("k", "x").Within(),
            () => cache.GetOrFillAsync("k", _ => ValueTask.FromResult("x")).Within(),
            () => cache.GetOrFillManyAsync<string>(["k"], (_, _) => throw new InvalidOperationException("ran")).Within(),
            () => cache.DiagnoseAsync().Within(),
            () => lease.FillAsync(null).Within(),
            () => reservation.CommitAsync(null).Within(),
            () => Task.FromResult(cache.Stats),
        })
        {
            await Assert.ThrowsAsync<GenfenceShutDownException>(call);
        }
        lease.Dispose();
        reservation.Dispose();
        await Support.AssertNothingIsAliveAsync();
    }

    [Fact]
    public async Task A_disposed_cache_is_a_disposed_object_to_code_that_was_written_for_another()
    {
        await using var provider = new ServiceCollection()
            .AddGenfence("memory://").AddGenfenceHybridCache().AddGenfenceDistributedCache().BuildServiceProvider();
        var cache = provider.GetRequiredService<GenfenceCache>();
        var hybrid = provider.GetRequiredService<HybridCache>();
        var distributed = provider.GetRequiredService<IDistributedCache>();
        await cache.DisposeAsync().Within();
        foreach (var call in new Func<Task>[]
        {
            () => cache.GetAsync("k").Within(),
            () => hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("x")).Within(),
            () => hybrid.SetAsync("k", "x").Within(),
            () => distributed.GetAsync("k"),
            () => distributed.SetAsync("k", [1], new DistributedCacheEntryOptions()),
            () => distributed.RemoveAsync("k"),
        })
        {
            var disposed = await Assert.ThrowsAnyAsync<ObjectDisposedException>(call);
            Assert.Equal("the cache is disposed; connect a new one", disposed.Message);
        }
    }

    [Fact]
    public async Task What_was_loaded_when_the_cache_was_disposed_is_returned()
    {
        foreach (var many in new[] { false, true })
        {
            var cache = await GenfenceCache.ConnectAsync("memory://", new GenfenceOptions { CloseTimeout = TimeSpan.Zero });
            async ValueTask<IReadOnlyDictionary<string, string>> Load(IReadOnlyList<string> keys, CancellationToken cancellation)
            {
                await cache.DisposeAsync();
                return keys.ToDictionary(key => key);
            }
            var loaded = many
                ? (await cache.GetOrFillManyAsync(["k"], Load).Within())["k"]
                : await cache.GetOrFillAsync("k", async cancellation => (await Load(["k"], cancellation))["k"]).Within();
            Assert.Equal("k", loaded);
        }
        await Support.AssertNothingIsAliveAsync();
    }

    [Fact]
    public async Task Every_await_ends_and_nothing_leaks_when_disposing_races_a_storm()
    {
        const int Rounds = 18, Callers = 16;
        long ended = 0, shutDown = 0;
        for (var round = 0; round < Rounds; round++)
        {
            var cache = await GenfenceCache.ConnectAsync(
                "memory://?wait=1m", new GenfenceOptions { CloseTimeout = TimeSpan.FromMilliseconds(round % 2) });
            var running = 0;
            var enough = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var callers = Enumerable.Range(0, Callers).Select(caller => Task.Run(async () =>
            {
                var random = new Random(caller);
                while (true)
                {
                    using var source = new CancellationTokenSource();
                    var call = One(cache, random, source.Token);
                    if (random.Next(4) == 0)
                    {
                        source.Cancel();
                    }
                    try
                    {
                        await call;
                    }
                    catch (OperationCanceledException)
                    {
                        // Ended.
                    }
                    catch (GenfenceShutDownException)
                    {
                        Interlocked.Increment(ref shutDown);
                        return;
                    }
                    Interlocked.Increment(ref ended);
                    if (Interlocked.Increment(ref running) == 6_000)
                    {
                        enough.SetResult();
                    }
                }
            })).ToArray();
            await enough.Task.WaitAsync(Support.Patience);
            await cache.DisposeAsync().Within();
            await Task.WhenAll(callers).WaitAsync(Support.Patience);
        }
        Assert.Equal(Rounds * Callers, shutDown);
        Assert.True(ended >= 100_000, $"{ended}");
        await Support.AssertNothingIsAliveAsync();
    }

    [Fact]
    public async Task A_cache_that_nobody_disposes_is_closed_by_its_finaliser()
    {
        await OpenAndForget();
        await Support.AssertNothingIsAliveAsync();
    }

    [Fact]
    public async Task A_close_gives_an_update_time_to_commit()
    {
        var cache = await GenfenceCache.ConnectAsync("memory://", new GenfenceOptions { CloseTimeout = Support.Patience });
        var go = Gate();
        var update = await UpdateUnderWay(cache, go.Task);
        var closing = cache.DisposeAsync();
        await Assert.ThrowsAsync<GenfenceShutDownException>(() => cache.GetAsync("k").Within());
        go.SetResult();
        Assert.Equal(UpdateOutcome.Stored, await update.WaitAsync(Support.Patience));
        await closing.Within();
        await Support.AssertNothingIsAliveAsync();
    }

    [Fact]
    public async Task A_close_gives_a_load_time_to_fill()
    {
        using var log = new Lines();
        var options = new GenfenceOptions { CloseTimeout = Support.Patience, LoggerFactory = log };
        var cache = await GenfenceCache.ConnectAsync("memory://", options);
        var (inside, go) = (Gate(), Gate());
        var load = cache.GetOrFillAsync("k", async _ =>
        {
            inside.SetResult();
            await go.Task;
            return "v";
        });
        await inside.Task.WaitAsync(Support.Patience);
        var closing = cache.DisposeAsync();
        go.SetResult();
        Assert.Equal("v", await load.Within());
        await closing.Within();
        Assert.Empty(log.Written); // else: that it could not be stored
        await Support.AssertNothingIsAliveAsync();
    }

    [Fact]
    public async Task A_close_waits_no_longer_than_its_time_for_an_update()
    {
        var cache = await GenfenceCache.ConnectAsync(
            "memory://", new GenfenceOptions { CloseTimeout = TimeSpan.FromMilliseconds(20) });
        var go = Gate();
        var update = await UpdateUnderWay(cache, go.Task);
        await cache.DisposeAsync().Within();
        go.SetResult();
        await Assert.ThrowsAsync<GenfenceShutDownException>(() => update.WaitAsync(Support.Patience));
        await Support.AssertNothingIsAliveAsync();
    }

    /// <summary>An update whose closure has begun, and ends with the gate.</summary>
    private static async Task<Task<UpdateOutcome>> UpdateUnderWay(GenfenceCache cache, Task go)
    {
        var inside = Gate();
        var update = cache.UpdateAsync("k", async (_, _) =>
        {
            inside.SetResult();
            await go;
            return SourceResult.Committed("v");
        }).AsTask();
        await inside.Task.WaitAsync(Support.Patience);
        return update;
    }

    private static TaskCompletionSource Gate() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    [Fact]
    public async Task A_commit_that_is_too_large_leaves_nothing_to_expire()
    {
        using var log = new Lines();
        await using (var cache = await GenfenceCache.ConnectAsync("memory://", new GenfenceOptions { LoggerFactory = log }))
        {
            using var reservation = await cache.ReserveAsync("k").Within();
            Assert.Equal(CommitOutcome.TooLarge, await reservation.CommitAsync(new byte[2 << 20]).Within());
        }
        Assert.DoesNotContain(log.Written, line => line.Contains("left to expire", StringComparison.Ordinal));
    }

    [Fact]
    public async Task What_the_native_library_logs_is_logged_for_as_long_as_a_cache_is_open()
    {
        using var log = new Lines { Least = LogLevel.Debug };
        for (var time = 1; time <= 2; time++)
        {
            await using (var cache = await GenfenceCache.ConnectAsync("memory://", new GenfenceOptions { LoggerFactory = log }))
            await using (await GenfenceCache.ConnectAsync("memory://", new GenfenceOptions { LoggerFactory = log }))
            {
                using var lease = (await cache.LookupAsync("k").Within()).Lease!;
                await cache.InvalidateAsync("k").Within();
                Assert.Equal(FillOutcome.Rejected, await lease.FillAsync([1]).Within());
            }
            Assert.Equal(time, log.Written.Count(line => line.Contains("lost its race", StringComparison.Ordinal)));
        }
    }

    [Fact]
    public async Task A_reservation_left_to_expire_is_logged_once_without_its_key()
    {
        using var log = new Lines();
        await using (var cache = await GenfenceCache.ConnectAsync("memory://", new GenfenceOptions { LoggerFactory = log }))
        {
            var left = await cache.ReserveAsync("secret key").Within();
            left.Dispose();
            left.Dispose();
            using var used = await cache.ReserveAsync("secret key").Within();
            await used.AbortAsync().Within();
            Assert.Equal(TimeSpan.Zero, left.Remaining);
            await Assert.ThrowsAsync<ObjectDisposedException>(() => left.AbortAsync().Within());
        }
        var line = Assert.Single(log.Written);
        Assert.Contains("left to expire", line, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", line, StringComparison.Ordinal);
        await Support.AssertNothingIsAliveAsync();
    }

    private static async Task One(GenfenceCache cache, Random random, CancellationToken cancellation)
    {
        var key = $"k{random.Next(8)}";
        switch (random.Next(6))
        {
            case 0:
                _ = await cache.GetAsync(key, cancellation);
                break;
            case 1:
                (await cache.LookupAsync(key, cancellation)).Lease?.Dispose();
                break;
            case 2:
                _ = await cache.GetOrFillAsync(key, _ => ValueTask.FromResult("value"), cancellationToken: cancellation);
                break;
            case 3:
                using (var reservation = await cache.ReserveAsync(key, cancellation))
                {
                    await reservation.CommitAsync(Support.Bytes("new"), cancellationToken: cancellation);
                }
                break;
            case 4:
                _ = await cache.UpdateAsync(key, (_, _) => ValueTask.FromResult(SourceResult.RolledBack), cancellation);
                break;
            default:
                await cache.InvalidateAsync(key, null, cancellation);
                break;
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task OpenAndForget()
    {
        var cache = await GenfenceCache.ConnectAsync("memory://");
        await cache.SetAsync("k", "x").Within();
        Assert.Equal(1, Support.Live().Caches);
    }
}
