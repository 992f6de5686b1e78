using System.Buffers;
using Genfence.Extensions.Caching;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace Genfence.Tests;

/// <summary>
/// Which set is the fill of a miss's lease and which is blind, with the crossings forced step by step; and what the two
/// interfaces promise.
/// </summary>
public sealed partial class DistributedCacheTests(WireServer wire) : StoreTest(wire)
{
    private static readonly DistributedCacheEntryOptions s_plain = new();

    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private GenfenceCache _cache = null!;
    private GenfenceDistributedCache _distributed = null!;

    private GenfenceStats Stats => _cache.Stats;

    [Theory, MemberData(nameof(Stores))]
    public async Task All_calls_come_in_both_kinds(string store)
    {
        await Open(store);
        var target = new ArrayBufferWriter<byte>();
        Assert.False(_distributed.TryGet("k", target));
        _distributed.Set("k", Support.Bytes("one"), s_plain);
        Assert.Equal(Support.Bytes("one"), _distributed.Get("k"));
        // In two pieces.
        var (head, tail) = (new Piece(Support.Bytes("tw"), null), default(Piece));
        tail = new Piece(Support.Bytes("o"), head);
        var pieces = new ReadOnlySequence<byte>(head, 0, tail, tail.Memory.Length);
        _distributed.Set("k", pieces, s_plain);
        Assert.True(_distributed.TryGet("k", target));
        Assert.Equal("two", System.Text.Encoding.UTF8.GetString(target.WrittenSpan));
        _distributed.Refresh("k");
        _distributed.Remove("k");
        Assert.Null(_distributed.Get("k"));
        _distributed.Refresh("k");
        await _distributed.SetAsync("k", pieces, s_plain).Within();
        Assert.Equal("two", await Get());
        await _distributed.SetAsync("k", Array.Empty<byte>(), s_plain);
        Assert.Empty((await _distributed.GetAsync("k"))!);
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_value_of_another_door_is_none(string store)
    {
        await Open(store);
        foreach (var value in new byte[]?[] { null, [], Support.Bytes("short") })
        {
            await _cache.SetBytesAsync("k", value).Within();
            Assert.Null(await Get());
            await _distributed.RefreshAsync("k");
            await Set("own");
            Assert.Equal("own", await Get());
        }
        Assert.Equal((3, 3), (Stats.Leases, Stats.FillsStored));
    }

    [Fact]
    public async Task What_is_missing_or_out_of_bounds_is_named()
    {
        await Open(Memory);
        var target = new ArrayBufferWriter<byte>();
        foreach (var (name, call) in new (string, Func<Task>)[]
        {
            ("key", () => _distributed.GetAsync(null!)),
            ("key", () => _distributed.TryGetAsync(null!, target).Within()),
            ("key", () => _distributed.RefreshAsync(null!)),
            ("key", () => _distributed.RemoveAsync(null!)),
            ("key", () => _distributed.SetAsync(null!, [1], s_plain)),
            ("value", () => _distributed.SetAsync("k", null!, s_plain)),
            ("options", () => _distributed.SetAsync("k", [1], null!)),
            ("destination", () => _distributed.TryGetAsync("k", null!).Within()),
        })
        {
            Assert.Equal(name, (await Assert.ThrowsAsync<ArgumentNullException>(call)).ParamName);
        }
        Assert.Throws<ArgumentNullException>(() => _distributed.Get(null!));
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => _distributed.GetAsync(""));
        Assert.Equal("key", refused.Field);
        refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => _distributed.SetAsync("k", new byte[2 << 20], s_plain));
        Assert.Equal("value", refused.Field);
    }

    [Fact]
    public async Task A_destination_that_fails_is_no_miss()
    {
        await Open(Memory);
        await Set("value");
        await Assert.ThrowsAsync<NotSupportedException>(() => _distributed.TryGetAsync("k", new Full()).Within());
        Assert.Equal(0, Stats.Leases);
    }

    [Fact]
    public async Task Time_slides_with_each_read_and_never_past_the_last_moment()
    {
        await Open(Wire);
        await Set("slides", "slides", sliding: 10);
        await Set("refreshed", "refreshed", sliding: 10);
        await Set("still", "still", sliding: 10);
        await Set("ends", "ends", sliding: 10, last: 25);
        await Set("fixed", "fixed", last: 25);
        for (var at = 6; at <= 24; at += 6)
        {
            await Pass(6);
            Assert.Equal("slides", await Get("slides"));
            await _distributed.RefreshAsync("refreshed");
            Assert.Equal("ends", await Get("ends"));
            Assert.Equal("fixed", await Get("fixed"));
        }
        Assert.Null(await _cache.GetAsync("still").Within());
        await Pass(3);
        Assert.Equal("refreshed", await Get("refreshed"));
        // Gone from the server, too: what a read prolongs ends with the last moment.
        Assert.Null(await _cache.GetAsync("ends").Within());
        Assert.Null(await _cache.GetAsync("fixed").Within());
        await Pass(12);
        Assert.Null(await Get("slides"));
    }

    [Fact]
    public async Task A_value_that_could_not_be_prolonged_is_read_all_the_same()
    {
        // By the store's clock, as in every program but a test.
        await Open(Wire, "attempts=1&max_errors=0&wait=20s&lease_time=1m", TimeProvider.System);
        await Set("value", sliding: 10);
        await Server.OrderAsync("lose-requests 1");
        Assert.Equal("value", await Get());
        using var source = new CancellationTokenSource();
        Assert.True(await _distributed.TryGetAsync("k", new Cancelling(source), source.Token).Within());
        // To prolong it is all that a refresh is for.
        await Server.OrderAsync("lose-requests 1");
        await Assert.ThrowsAsync<GenfenceStoreException>(() => _distributed.RefreshAsync("k"));
        // It was no miss.
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task The_last_moment_counts_to_the_tick(string store)
    {
        await Open(store);
        foreach (var options in new DistributedCacheEntryOptions[]
        {
            new() { AbsoluteExpiration = _time.GetUtcNow().AddHours(1) },
            // The relative one counts where both are given, as with the other caches of this interface.
            new() { AbsoluteExpirationRelativeToNow = TimeSpan.FromHours(1), AbsoluteExpiration = DateTimeOffset.MaxValue },
            new() { AbsoluteExpirationRelativeToNow = TimeSpan.FromHours(1), SlidingExpiration = TimeSpan.FromHours(2) },
        })
        {
            await _distributed.SetAsync("k", Support.Bytes("value"), options);
            _time.Advance(TimeSpan.FromHours(1) - TimeSpan.FromTicks(1));
            Assert.Equal("value", await Get());
            _time.Advance(TimeSpan.FromTicks(1));
            Assert.NotNull(await _cache.GetAsync("k").Within());
            Assert.Null(await Get());
            Assert.Null(await _cache.GetAsync("k").Within());
            await Set("own");
            Assert.Equal("own", await Get());
        }
        Assert.Equal((3, 3), (Stats.Leases, Stats.FillsStored));
    }

    [Fact]
    public async Task What_never_ends_is_kept_as_long_as_can_be()
    {
        await Open(Memory);
        foreach (var options in new DistributedCacheEntryOptions[]
        {
            new() { AbsoluteExpirationRelativeToNow = TimeSpan.MaxValue },
            new() { AbsoluteExpiration = DateTimeOffset.MaxValue },
            new() { SlidingExpiration = TimeSpan.MaxValue },
        })
        {
            await _distributed.SetAsync("k", [1], options);
            Assert.NotNull(await _distributed.GetAsync("k"));
        }
    }

    private async Task Open(string store, string options = "wait=20s&lease_time=1m", TimeProvider? time = null)
    {
        _cache = await OpenAsync(store, options);
        _distributed = new GenfenceDistributedCache(_cache, time ?? _time, guardMisses: true);
    }

    public override async ValueTask DisposeAsync()
    {
        _distributed?.Dispose();
        await base.DisposeAsync();
    }

    private async Task<string?> Get(string key = "k") =>
        await _distributed.GetAsync(key).WaitAsync(Support.Patience) is { } bytes ? System.Text.Encoding.UTF8.GetString(bytes) : null;

    private Task Set(string value, string key = "k", int sliding = 0, int last = 0) =>
        _distributed.SetAsync(key, Support.Bytes(value), new DistributedCacheEntryOptions
        {
            SlidingExpiration = sliding > 0 ? TimeSpan.FromSeconds(sliding) : null,
            AbsoluteExpirationRelativeToNow = last > 0 ? TimeSpan.FromSeconds(last) : null,
        }).WaitAsync(Support.Patience);

    private async Task Pass(int seconds)
    {
        _time.Advance(TimeSpan.FromSeconds(seconds));
        await Server.OrderAsync($"advance {seconds * 1000}");
    }

    private async Task<LookupKind> Free(string key)
    {
        var looked = await _cache.LookupAsync(key).Within();
        looked.Lease?.Dispose();
        return looked.Kind;
    }

    private async Task GetCancelled() => await Assert.ThrowsAnyAsync<OperationCanceledException>(
        () => _distributed.GetAsync("k", new CancellationToken(true)));

    private async Task SetTooMuch() => await Assert.ThrowsAsync<GenfenceInvalidException>(
        () => _distributed.SetAsync("k", new byte[2 << 20], s_plain));

    private async Task Change() =>
        await _cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(SourceResult.Changed())).Within();

    /// <summary>No miss is remembered any more.</summary>
    private async Task AssertFillsAgain()
    {
        await _distributed.RemoveAsync("k");
        var (leases, filled) = (Stats.Leases, Stats.FillsStored);
        Assert.Null(await Get());
        await Set("filled");
        Assert.Equal((leases + 1, filled + 1), (Stats.Leases, Stats.FillsStored));
    }

    private sealed class Piece : ReadOnlySequenceSegment<byte>
    {
        public Piece(byte[] bytes, Piece? before)
        {
            Memory = bytes;
            if (before is not null)
            {
                before.Next = this;
                RunningIndex = before.RunningIndex + before.Memory.Length;
            }
        }
    }

    /// <summary>Cancels when the value is there.</summary>
    private sealed class Cancelling(CancellationTokenSource source) : IBufferWriter<byte>
    {
        public void Advance(int count) => source.Cancel();

        public Memory<byte> GetMemory(int sizeHint = 0) => new byte[100];

        public Span<byte> GetSpan(int sizeHint = 0) => new byte[100];
    }

    private sealed class Full : IBufferWriter<byte>
    {
        public void Advance(int count) => throw new NotSupportedException();

        public Memory<byte> GetMemory(int sizeHint = 0) => throw new NotSupportedException();

        public Span<byte> GetSpan(int sizeHint = 0) => throw new NotSupportedException();
    }
}
