namespace Genfence.Tests;

/// <summary>One load for all who wait in a process: its value, its exception, and who goes away.</summary>
public class LoadTests : CacheTest
{
    private readonly TaskCompletionSource<string> _source = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _loads;

    protected override string Url => "memory://?wait=50ms&lease_time=1m&load_time=5m";

    /// <summary>Asks the source, which answers when the test says so.</summary>
    private Task<string?> Read(CancellationToken cancellation = default) => Cache.GetOrFillAsync(
        "k",
        async _ =>
        {
            Interlocked.Increment(ref _loads);
            return await _source.Task;
        },
        cancellationToken: cancellation).AsTask();

    /// <summary>As many have come so far as wait, or load.</summary>
    private async Task<Task<string?>[]> ReadersAsync(int count, CancellationToken cancellation = default)
    {
        var before = Cache.Stats.Misses;
        var readers = Enumerable.Range(0, count).Select(_ => Read(cancellation)).ToArray();
        while (Cache.Stats.Misses < before + count)
        {
            await Task.Yield();
        }
        return readers;
    }

    [Fact]
    public async Task A_failing_source_is_asked_twice_by_all_and_each_has_its_exception()
    {
        var first = await ReadersAsync(1);
        var others = await ReadersAsync(50);
        var problem = new InvalidOperationException("the source is down");
        _source.SetException(problem);
        foreach (var reader in first.Concat(others))
        {
            Assert.Same(problem, await Assert.ThrowsAsync<InvalidOperationException>(() => reader.WaitAsync(Support.Patience)));
        }
        Assert.InRange(_loads, 1, 2);
        Assert.Equal(0, Cache.Connection.Failures.Count);
        using var lease = (await Cache.LookupAsync("k").Within()).Lease;
        Assert.NotNull(lease);
    }

    [Fact]
    public async Task Who_cancelled_before_it_heard_of_a_failure_keeps_nothing_of_it()
    {
        using var source = new CancellationTokenSource();
        var first = await ReadersAsync(1);
        // One leads next, and its failure is what the others hear of.
        var others = await ReadersAsync(50, source.Token);
        await source.CancelAsync();
        foreach (var reader in others)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reader.WaitAsync(Support.Patience));
        }
        _source.SetException(new InvalidOperationException("the source is down"));
        await Assert.ThrowsAsync<InvalidOperationException>(() => first[0].WaitAsync(Support.Patience));
        await Support.AssertNothingIsInFlightAsync();
        Assert.Equal(0, Cache.Connection.Failures.Count);
    }

    [Fact]
    public async Task A_load_that_takes_longer_than_the_wait_is_the_only_one()
    {
        var readers = await ReadersAsync(50);
        await Task.Delay(200);
        _source.SetResult("value");
        foreach (var reader in readers)
        {
            Assert.Equal("value", await reader.WaitAsync(Support.Patience));
        }
        Assert.Equal(1, _loads);
    }

    [Fact]
    public async Task Readers_beside_a_writer_share_their_loads_and_store_nothing()
    {
        using var writer = await Cache.ReserveAsync("k").Within();
        var readers = await ReadersAsync(50);
        _source.SetResult("value");
        foreach (var reader in readers)
        {
            Assert.Equal("value", await reader.WaitAsync(Support.Patience));
        }
        Assert.InRange(_loads, 1, 2);
        Assert.Null(await Cache.GetAsync("k").Within());
    }

    [Fact]
    public async Task Who_loads_and_cancels_ends_at_once_and_the_load_goes_on_for_those_who_wait()
    {
        using var source = new CancellationTokenSource();
        var first = (await ReadersAsync(1, source.Token))[0];
        var others = await ReadersAsync(5);
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first.WaitAsync(Support.Patience));
        Assert.DoesNotContain(others, other => other.IsCompleted);
        _source.SetResult("value");
        foreach (var other in others)
        {
            Assert.Equal("value", await other.WaitAsync(Support.Patience));
        }
        Assert.Equal((1, 1), (_loads, Cache.Stats.FillsStored));
    }

    [Fact]
    public async Task Who_loads_for_nobody_else_and_cancels_cancels_the_load()
    {
        using var source = new CancellationTokenSource();
        var cancelled = new TaskCompletionSource();
        var loading = new TaskCompletionSource();
        var load = Cache.GetOrFillAsync(
            "k",
            async cancellation =>
            {
                using var told = cancellation.Register(cancelled.SetResult);
                loading.SetResult();
                await Task.Delay(Timeout.Infinite, cancellation);
                return "never";
            },
            cancellationToken: source.Token).AsTask();
        await loading.Task.WaitAsync(Support.Patience);
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => load.WaitAsync(Support.Patience));
        await cancelled.Task.WaitAsync(Support.Patience);
        Assert.Equal("next", await Cache.GetOrFillAsync("k", _ => ValueTask.FromResult("next")).Within());
    }

    [Theory, InlineData(true, true), InlineData(true, false), InlineData(false, true), InlineData(false, false)]
    public async Task A_load_goes_on_for_those_who_wait_and_is_cancelled_with_the_last_of_them(bool loaderGoesFirst, bool isText)
    {
        CacheKey key = isText ? "k" : "k"u8;
        using var loader = new CancellationTokenSource();
        using var waiters = new CancellationTokenSource();
        using var other = new CancellationTokenSource();
        var cancelled = new TaskCompletionSource();
        Task<string?> Load(CancellationToken caller) => Cache.GetOrFillAsync(
            key,
            async cancellation =>
            {
                using var told = cancellation.Register(cancelled.SetResult);
                await cancelled.Task;
                cancellation.ThrowIfCancellationRequested();
                return "never";
            },
            cancellationToken: caller).AsTask();
        var calls = new List<Task>();
        foreach (var source in new[] { loader, waiters, waiters })
        {
            calls.Add(Load(source.Token));
            await Support.UntilAsync(() => Cache.Stats.Misses == calls.Count);
        }
        // Waits, too, though not for this key.
        using var held = (await Cache.LookupAsync("other").Within()).Lease;
        var elsewhere = Cache.LookupAsync("other", other.Token).AsTask();
        foreach (var source in loaderGoesFirst ? new[] { loader, waiters } : [waiters, loader])
        {
            Assert.False(cancelled.Task.IsCompleted);
            await source.CancelAsync();
        }
        foreach (var call in calls)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call.WaitAsync(Support.Patience));
        }
        await cancelled.Task.WaitAsync(Support.Patience);
        Assert.False(elsewhere.IsCompleted);
        Assert.Equal("next", await Cache.GetOrFillAsync(key, _ => ValueTask.FromResult("next")).Within());
        await other.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => elsewhere.WaitAsync(Support.Patience));
    }

    [Fact]
    public async Task What_cannot_be_written_each_reads_for_itself()
    {
        var first = await ReadersAsync(1);
        var unwritable = Enumerable.Range(0, 5).Select(_ => Cache.GetOrFillAsync(
            "k", _ => ValueTask.FromResult("unwritable"), new Unwritable()).AsTask()).ToArray();
        _source.SetException(new InvalidOperationException("makes place"));
        await Assert.ThrowsAsync<InvalidOperationException>(() => first[0].WaitAsync(Support.Patience));
        foreach (var reader in unwritable)
        {
            Assert.Equal("unwritable", await reader.WaitAsync(Support.Patience));
        }
        Assert.Null(await Cache.GetAsync("k").Within());
    }

    [Fact]
    public async Task A_batch_that_fails_tells_those_who_wait_for_its_keys()
    {
        var batch = Cache.GetOrFillManyAsync<string>(["k", "other"], async (_, _) =>
        {
            await _source.Task;
            return new Dictionary<string, string>();
        }).AsTask();
        // They came while the batch was read: one of them loads next, and the others hear of that.
        while (Cache.Stats.Leases < 2)
        {
            await Task.Yield();
        }
        var readers = await ReadersAsync(5);
        _source.SetException(new InvalidOperationException("the source is down"));
        foreach (var call in readers.Append<Task>(batch))
        {
            await Assert.ThrowsAsync<InvalidOperationException>(() => call.WaitAsync(Support.Patience));
        }
        Assert.Equal(0, Cache.Connection.Failures.Count);
    }

    private sealed class Unwritable : IGenfenceSerializer<string>
    {
        public string Deserialize(ReadOnlySpan<byte> bytes) => throw new NotSupportedException();

        public void Serialize(string value, System.Buffers.IBufferWriter<byte> target) => throw new NotSupportedException();
    }
}
