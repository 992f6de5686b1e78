using System.Buffers;
using Genfence.Native;
using Microsoft.Extensions.Caching.Distributed;

namespace Genfence.Tests;

// The calls that wait, and those that the store does not answer.
public sealed partial class DistributedCacheTests
{
    /// <summary>Whatever the pool is busy with, they end: nothing of them runs there.</summary>
    [Theory]
    [MemberData(nameof(Stores))]
    public async Task Calls_that_wait_do_so_on_their_own_thread(string store)
    {
        await Open(store);
        var done = new TaskCompletionSource();
        new Thread(() =>
        {
            try
            {
                var here = Environment.CurrentManagedThreadId;
                var options = new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.FromMinutes(1) };
                _distributed.Set("k", [1, 2, 3], options);
                _distributed.Set("k", new ReadOnlySequence<byte>([1, 2, 3]), options);
                Assert.Equal([1, 2, 3], _distributed.Get("k"));
                var target = new Noticing();
                Assert.True(_distributed.TryGet("k", target));
                Assert.Equal(here, target.Thread);
                _distributed.Refresh("k");
                _distributed.Remove("k");
                Assert.Null(_distributed.Get("k"));
                using (Blocking.Begin())
                {
                    // All of it, so that a call of many steps is over as well.
                    Assert.True(_cache.LookupNowAsync("k").AsTask().IsCompleted);
                    Assert.True(_distributed.SetAsync("k", [1], options).IsCompleted);
                    Assert.True(_distributed.GetAsync("k").IsCompleted);
                }
                Assert.False(Blocking.IsHere);
                done.SetResult();
            }
            catch (Exception problem)
            {
                done.SetException(problem);
            }
        }).Start();
        await done.Task.WaitAsync(Support.Patience);
    }

    [Fact]
    public async Task What_the_store_does_not_answer_throws_whatever_the_cache_does_for_others()
    {
        await using var server = new Disposable(new WireServer());
        await server.Of.InitializeAsync();
        await using var cache = await GenfenceCache.ConnectAsync(
            $"aerospike://{server.Of.Address}/test/cache?attempts=1&timeout=100ms&max_errors=0&unreachable_read=bypass");
        using var door = new Extensions.Caching.GenfenceDistributedCache(cache, TimeProvider.System);
        await door.SetAsync("k", [1], new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.FromMinutes(1) });
        server.Of.Signal(WireServer.Stop);
        Assert.Null(await cache.GetAsync("k").Within());
        await Assert.ThrowsAsync<GenfenceStoreException>(() => door.GetAsync("k").WaitAsync(Support.Patience));
        await Assert.ThrowsAsync<GenfenceStoreException>(() => door.RefreshAsync("k").WaitAsync(Support.Patience));
        Assert.Throws<GenfenceStoreException>(() => door.Get("k"));
        await Assert.ThrowsAsync<GenfenceStoreException>(() => door.RemoveAsync("k").WaitAsync(Support.Patience));
        await Assert.ThrowsAnyAsync<GenfenceException>(() =>
            door.SetAsync("k", [1], new DistributedCacheEntryOptions()).WaitAsync(Support.Patience));
        server.Of.Signal(WireServer.Continue);
    }

    /// <summary>Says where it was written to.</summary>
    private sealed class Noticing : IBufferWriter<byte>
    {
        private readonly ArrayBufferWriter<byte> _inner = new();

        public int Thread { get; private set; }

        public void Advance(int count)
        {
            Thread = Environment.CurrentManagedThreadId;
            _inner.Advance(count);
        }

        public Memory<byte> GetMemory(int sizeHint = 0) => _inner.GetMemory(sizeHint);

        public Span<byte> GetSpan(int sizeHint = 0) => _inner.GetSpan(sizeHint);
    }

    private sealed class Disposable(WireServer of) : IAsyncDisposable
    {
        public WireServer Of => of;

        public ValueTask DisposeAsync() => of.DisposeAsync();
    }
}
