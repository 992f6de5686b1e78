using System.Net;
using System.Net.Sockets;

namespace Genfence.Tests;

public class CancellationTests : CacheTest
{
    [Fact]
    public async Task Cancelling_after_a_call_is_over_does_not_end_the_next()
    {
        using var source = new CancellationTokenSource();
        using var held = (await Cache.LookupAsync("a").Within()).Lease!;
        // It goes through the queue, as it waits for the fill.
        var first = Cache.LookupAsync("a", source.Token);
        await held.FillAsync([1]).Within();
        _ = await first.Within();
        using var again = (await Cache.LookupAsync("b").Within()).Lease!;
        // The same operation of the pool, and no token.
        var next = Cache.LookupAsync("b");
        await source.CancelAsync();
        await again.FillAsync([2]).Within();
        Assert.Equal(LookupKind.Hit, (await next.Within()).Kind);
    }

    [Fact]
    public async Task A_call_that_was_cancelled_before_sends_nothing()
    {
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        var token = cancelled.Token;
        foreach (var call in new Func<Task>[]
        {
            () => Cache.GetAsync("k", token).Within(),
            () => Cache.LookupAsync("k", token).Within(),
            () => Cache.ReserveAsync("k", token).Within(),
            () => Cache.SetAsync("k", "x", cancellationToken: token).Within(),
            () => Cache.GetOrFillAsync("k", _ => ValueTask.FromResult("x"), cancellationToken: token).Within(),
            () => Cache.GetOrFillManyAsync<string>(["k"], (_, _) => throw new InvalidOperationException("ran"), cancellationToken: token).Within(),
            () => GenfenceCache.ConnectAsync("memory://", null, token),
        })
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(call);
        }
        Assert.Equal((0, 0), (Cache.Stats.Misses, Cache.Stats.Reservations));
    }

    [Fact]
    public async Task What_fails_after_its_connect_was_cancelled_is_no_unobserved_exception()
    {
        var unobserved = new List<Exception>();
        void Hear(object? sender, UnobservedTaskExceptionEventArgs heard)
        {
            lock (unobserved)
            {
                unobserved.Add(heard.Exception);
            }
        }
        TaskScheduler.UnobservedTaskException += Hear;
        try
        {
            await ConnectInVain();
            for (var i = 0; i < 10; i++)
            {
                await Task.Delay(10);
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
        }
        finally
        {
            TaskScheduler.UnobservedTaskException -= Hear;
        }
        Assert.Empty(unobserved);
    }

    /// <summary>Cancels a connect that then fails; apart, so that nothing here keeps its task.</summary>
    private static async Task ConnectInVain()
    {
        using var nobody = new TcpListener(IPAddress.Loopback, 0);
        nobody.Start();
        using var source = new CancellationTokenSource();
        var connecting = GenfenceCache.ConnectAsync(
            $"aerospike://{nobody.LocalEndpoint}/test/cache?connect_timeout=100ms", null, source.Token);
        using var connected = await nobody.AcceptTcpClientAsync().WaitAsync(Support.Patience);
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connecting);
        // It gives up, and ends the connection.
        await connected.GetStream().CopyToAsync(Stream.Null).WaitAsync(Support.Patience);
    }

    [Fact]
    public async Task A_lease_that_comes_after_the_cancellation_is_given_back()
    {
        var held = (await Cache.LookupAsync("k").Within()).Lease!;
        using var source = new CancellationTokenSource();
        var waiting = Cache.LookupAsync("k", source.Token).AsTask();
        while (Cache.Stats.Misses < 2)
        {
            await Task.Yield();
        }
        Assert.False(waiting.IsCompleted);
        await source.CancelAsync();
        var cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(Support.Patience));
        Assert.Equal(source.Token, cancelled.CancellationToken);
        // Now the native lookup, which nobody waits for any more, gets the lease.
        held.Dispose();
        using var next = (await Cache.LookupAsync("k").Within()).Lease;
        Assert.NotNull(next);
    }

    [Fact]
    public async Task Cancellations_that_race_completions_lose_nothing_and_mix_nothing_up()
    {
        const int Callers = 64, Rounds = 1600;
        int cancelled = 0, done = 0;
        await Task.WhenAll(Enumerable.Range(0, Callers).Select(caller => Task.Run(async () =>
        {
            var random = new Random(caller);
            var key = $"v{caller}";
            for (var round = 0; round < Rounds; round++)
            {
                await Cache.InvalidateAsync(key);
                var held = await Cache.LookupAsync(key);
                using var source = new CancellationTokenSource();
                // It waits for the fill, which lets it complete on another thread, while this one cancels.
                var call = Cache.LookupAsync(key, source.Token);
                await held.Lease!.FillAsync(BitConverter.GetBytes(round));
                if (random.Next(2) == 0)
                {
                    source.Cancel();
                }
                try
                {
                    Assert.Equal(round, BitConverter.ToInt32((await call).Hit.Value!));
                    Interlocked.Increment(ref done);
                }
                catch (OperationCanceledException)
                {
                    Interlocked.Increment(ref cancelled);
                }
            }
        }))).WaitAsync(TimeSpan.FromMinutes(2));
        Assert.Equal(Callers * Rounds, done + cancelled);
        Assert.True(cancelled > 0 && done > Callers * Rounds / 3, $"{cancelled} cancelled, {done} done");
    }
}
