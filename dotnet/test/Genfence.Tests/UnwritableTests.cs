using System.Buffers;
using System.Text.Json;
using Genfence.Extensions.Caching;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Genfence.Tests;

/// <summary>A value that cannot be turned into bytes, or back, costs a read of the source, and no exception to a reader.</summary>
public sealed class UnwritableTests : IAsyncLifetime
{
    private readonly Lines _lines = new();
    private GenfenceCache _cache = null!;

    public async ValueTask InitializeAsync() => _cache = await GenfenceCache.ConnectAsync(
        "memory://?wait=20s&lease_time=1m", new GenfenceOptions { LoggerFactory = _lines });

    public async ValueTask DisposeAsync()
    {
        await _cache.DisposeAsync();
        await Support.AssertNothingIsAliveAsync();
        _lines.Dispose();
    }

    [Fact]
    public async Task A_loaded_value_that_cannot_be_written_is_returned_and_its_lease_given_back()
    {
        for (var time = 1; time <= 2; time++)
        {
            var cycle = new Node("secret");
            cycle.Next = cycle;
            Assert.Same(cycle, await _cache.GetOrFillAsync("k", _ => ValueTask.FromResult(cycle)).Within());
            Assert.Same(cycle, await _cache.GetOrFillAsync("k", _ => ValueTask.FromResult(new Fresh<Node>(cycle, 3))).Within());
            var typed = new Typed(typeof(string));
            Assert.Same(typed, await _cache.GetOrFillAsync("k", 0, (_, _) => ValueTask.FromResult(typed)).Within());
            using var lease = (await _cache.LookupAsync("k").Within()).Lease;
            Assert.NotNull(lease);
        }
        Assert.Equal(2, _lines.Written.Count);
        Assert.Single(_lines.Written, line => line.Contains(typeof(Node).ToString(), StringComparison.Ordinal)
            && line.Contains(nameof(JsonException), StringComparison.Ordinal));
        Assert.Single(_lines.Written, line => line.Contains(typeof(Typed).ToString(), StringComparison.Ordinal)
            && line.Contains(nameof(NotSupportedException), StringComparison.Ordinal));
        Assert.DoesNotContain(_lines.Written, line => line.Contains("secret", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Of_many_values_those_that_can_be_written_are_stored()
    {
        var cycle = new Node("b");
        cycle.Next = cycle;
        var many = await _cache.GetOrFillManyAsync(["a", "b", "c"], (_, _) =>
            ValueTask.FromResult<IReadOnlyDictionary<string, Node>>(
                new Dictionary<string, Node> { ["a"] = new("a"), ["b"] = cycle, })).Within();
        Assert.Equal("a", many["a"]!.Name);
        Assert.Same(cycle, many["b"]);
        Assert.Null(many["c"]);
        Assert.NotNull(await _cache.GetAsync("a").Within());
        Assert.NotNull(await _cache.GetAsync("c").Within());
        using var lease = (await _cache.LookupAsync("b").Within()).Lease;
        Assert.NotNull(lease);
        Assert.Single(_lines.Written);
    }

    [Fact]
    public async Task A_set_and_an_update_with_it_throw_and_the_key_is_free()
    {
        var cycle = new Node("x");
        cycle.Next = cycle;
        await _cache.SetAsync("k", "old").Within();
        await Assert.ThrowsAsync<JsonException>(() => _cache.SetAsync("k", cycle).Within());
        await Assert.ThrowsAsync<JsonException>(
            () => _cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(SourceResult.Committed(cycle))).Within());
        // The source was changed: neither the old value, nor a wait for the reservation to expire.
        using var lease = (await _cache.LookupAsync("k").Within()).Lease;
        Assert.NotNull(lease);
        Assert.Equal(0, _cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task A_serializer_of_hybrid_cache_that_throws_fails_no_read()
    {
        var services = new ServiceCollection().AddSingleton<ILoggerFactory>(_lines);
        services.AddSingleton<IHybridCacheSerializer<Node>>(new Throwing());
        await using var provider = services.AddGenfence("memory://").AddGenfenceHybridCache().BuildServiceProvider();
        var hybrid = provider.GetRequiredService<HybridCache>();
        var node = new Node("x");
        foreach (var options in new[] { null, new HybridCacheEntryOptions { Expiration = TimeSpan.FromMinutes(1) } })
        {
            Assert.Same(node, await hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult(node), options).Within());
        }
        await Assert.ThrowsAsync<NotSupportedException>(() => hybrid.SetAsync("k", node).Within());
        Assert.Single(_lines.Written);
    }

    [Fact]
    public async Task Two_versions_of_a_program_on_one_cache_never_fail_each_others_reads()
    {
        using var done = new CancellationTokenSource();
        var others = Enumerable.Range(0, 2).Select(_ => Task.Run(async () =>
        {
            while (!done.IsCancellationRequested)
            {
                await _cache.SetAsync("k", new Later { Id = 2 });
            }
        })).ToArray();
        var loads = 0;
        for (var i = 0; i < 300; i++)
        {
            Assert.Equal("1", (await _cache.GetOrFillAsync("k", _ =>
            {
                loads++;
                return ValueTask.FromResult(new Earlier { Name = "1" });
            }).Within())!.Name);
            var many = await _cache.GetOrFillManyAsync(["k"], (_, _) => ValueTask.FromResult<IReadOnlyDictionary<string, Earlier>>(
                new Dictionary<string, Earlier> { ["k"] = new() { Name = "1" } })).Within();
            Assert.Equal("1", many["k"]!.Name);
        }
        await done.CancelAsync();
        await Task.WhenAll(others).WaitAsync(Support.Patience);
        Assert.True(loads > 0);
        var line = Assert.Single(_lines.Written);
        Assert.Contains(typeof(Earlier).ToString(), line, StringComparison.Ordinal);
    }

    private sealed class Node(string name)
    {
        public string Name { get; } = name;

        public Node? Next { get; set; }
    }

    private sealed record Typed(Type Type);

    private sealed record Earlier
    {
        public required string Name { get; init; }
    }

    private sealed record Later
    {
        public required int Id { get; init; }
    }

    private sealed class Throwing : IHybridCacheSerializer<Node>
    {
        public Node Deserialize(ReadOnlySequence<byte> source) => throw new NotSupportedException();

        public void Serialize(Node value, IBufferWriter<byte> target) => throw new NotSupportedException();
    }
}
