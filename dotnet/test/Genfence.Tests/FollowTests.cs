using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Genfence.Extensions.Caching;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Genfence.Tests;

/// <summary>A cache that is told of changes by the stream of its source.</summary>
public class FollowTests
{
    private readonly Channel<ChangeBatch> _stream = Channel.CreateUnbounded<ChangeBatch>();
    private readonly List<int> _confirmed = [];

    private ChangeBatch Batch(int position, params ChangedKey[] changes) => new(changes, Confirm: _ =>
    {
        _confirmed.Add(position);
        return default;
    });

    private IAsyncEnumerable<ChangeBatch> Stream(CancellationToken cancellation = default) => _stream.Reader.ReadAllAsync(cancellation);

    private static async Task UntilAsync(Func<ValueTask<bool>> isSo)
    {
        using var patience = new CancellationTokenSource(Support.Patience);
        while (!await isSo())
        {
            await Task.Delay(5, patience.Token);
        }
    }

    [Fact]
    public async Task What_the_stream_tells_of_is_invalidated_and_then_confirmed()
    {
        await using var cache = await GenfenceCache.ConnectAsync("memory://");
        await cache.SetAsync("a", "old").Within();
        await cache.SetAsync("b", "old").Within();
        _stream.Writer.TryWrite(Batch(1, new ChangedKey("a", 3), new ChangedKey("a", 5)));
        _stream.Writer.TryWrite(Batch(2, new ChangedKey("b")));
        _stream.Writer.Complete();
        await cache.FollowAsync(Stream()).WaitAsync(Support.Patience);
        Assert.Equal([1, 2], _confirmed);
        Assert.Null(await cache.GetAsync("a").Within());
        Assert.Null(await cache.GetAsync("b").Within());
        Assert.Equal(5, (await cache.InspectAsync("a").Within())!.Floor);
    }

    [Fact]
    public async Task What_is_out_of_bounds_ends_it_and_is_not_confirmed()
    {
        await using var cache = await GenfenceCache.ConnectAsync("memory://");
        _stream.Writer.TryWrite(Batch(1, new ChangedKey("")));
        var error = await Assert.ThrowsAsync<GenfenceInvalidException>(() => cache.FollowAsync(Stream()).WaitAsync(Support.Patience));
        Assert.Equal("key", error.Field);
        Assert.Empty(_confirmed);
    }

    [Fact]
    public async Task A_store_that_does_not_answer_is_told_again_and_a_cancelled_follower_has_confirmed_nothing()
    {
        var server = new WireServer();
        await server.InitializeAsync();
        var lines = new Lines { Least = LogLevel.Warning };
        await using (var cache = await GenfenceCache.ConnectAsync(
            $"aerospike://{server.Address}/test/cache?timeout=100ms&attempts=1&cluster_guard=off",
            new GenfenceOptions { LoggerFactory = lines }))
        {
            server.Kill();
            _stream.Writer.TryWrite(Batch(1, new ChangedKey("a", 3)));
            using var cancelled = new CancellationTokenSource();
            var following = cache.FollowAsync(Stream(), cancellationToken: cancelled.Token);
            await UntilAsync(() => new(
                lines.Written.Count(line => line.StartsWith("the cache cannot be told", StringComparison.Ordinal)) > 3));
            Assert.False(following.IsCompleted);
            await cancelled.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => following.WaitAsync(Support.Patience));
        }
        Assert.Empty(_confirmed);
        await server.DisposeAsync();
    }

    [Fact]
    public async Task A_cache_serves_while_heartbeats_come_by()
    {
        var options = new GenfenceOptions { StreamBound = TimeSpan.FromMilliseconds(500) };
        await using var cache = await GenfenceCache.ConnectAsync("memory://", options);
        var isCut = false;
        using var over = new CancellationTokenSource();
        ValueTask Beat(Heartbeat beat, CancellationToken _)
        {
            if (!isCut)
            {
                _stream.Writer.TryWrite(new ChangeBatch([], [new Heartbeat(beat.Follower + 1, beat.Number), beat]));
            }
            return default;
        }
        var following = cache.FollowAsync(Stream(), Beat, over.Token);
        await cache.SetAsync("k", "v").Within();
        await UntilAsync(async () => await cache.GetAsync("k").Within() is not null);
        isCut = true;
        await UntilAsync(async () => await cache.GetAsync("k").Within() is null);
        Assert.Equal(BypassReason.Unreachable, (await cache.LookupAsync("k").Within()).Bypass);
        isCut = false;
        await UntilAsync(async () => await cache.GetAsync("k").Within() is not null);
        await over.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => following.WaitAsync(Support.Patience));
    }

    [Fact]
    public async Task A_host_follows_and_asks_anew_for_a_stream_that_failed()
    {
        var told = new Told();
        var services = new ServiceCollection().AddGenfence("memory://").AddSingleton(told).AddGenfenceFollower<Failing>();
        await using var provider = services.BuildServiceProvider();
        var cache = provider.GetRequiredService<GenfenceCache>();
        await cache.SetAsync("a", "old").Within();
        var follower = provider.GetServices<IHostedService>().OfType<BackgroundService>().Single();
        await follower.StartAsync(TestContext.Current.CancellationToken);
        await told.Confirmed.Task.WaitAsync(Support.Patience, TestContext.Current.CancellationToken);
        Assert.True(told.Asked > 1);
        Assert.Null(await cache.GetAsync("a").Within());
        await follower.StopAsync(TestContext.Current.CancellationToken).WaitAsync(Support.Patience, TestContext.Current.CancellationToken);
    }

    private sealed class Told
    {
        public int Asked;

        public TaskCompletionSource Confirmed { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>The first time there is none.</summary>
    private sealed class Failing(Told told) : IChangeSource
    {
        public async IAsyncEnumerable<ChangeBatch> ReadAsync([EnumeratorCancellation] CancellationToken cancellationToken)
        {
            if (Interlocked.Increment(ref told.Asked) == 1)
            {
                throw new IOException("the source is down");
            }
            yield return new ChangeBatch([new ChangedKey("a", 1)], Confirm: _ =>
            {
                told.Confirmed.SetResult();
                return default;
            });
            await Task.Delay(Timeout.Infinite, cancellationToken);
        }
    }
}
