using System.Buffers;
using Genfence.Extensions.Caching;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;

namespace Genfence.Tests;

public sealed class HostingTests : IAsyncLifetime
{
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private ServiceProvider _services = null!;

    private GenfenceCache Cache => _services.GetRequiredService<GenfenceCache>();

    private HybridCache Hybrid => _services.GetRequiredService<HybridCache>();

    public ValueTask InitializeAsync()
    {
        var services = new ServiceCollection();
        services.AddGenfence("memory://?wait=20s").AddGenfenceHybridCache().AddGenfenceDistributedCache();
        services.AddSingleton<TimeProvider>(_time);
        services.AddHealthChecks().AddGenfence();
        services.AddLogging();
        services.AddSingleton<IHybridCacheSerializer<Reversed>>(new ReversedSerializer());
        _services = services.BuildServiceProvider();
        return default;
    }

    public async ValueTask DisposeAsync()
    {
        await _services.DisposeAsync();
        await Support.AssertNothingIsAliveAsync();
    }

    private static ServiceProvider Configured(Dictionary<string, string?> settings)
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(settings).Build();
        return new ServiceCollection().AddGenfence(configuration.GetSection("Cache")).BuildServiceProvider();
    }

    [Fact]
    public async Task Options_of_a_configuration_reach_the_cache()
    {
        await using var provider = Configured(new()
        {
            ["Cache:Url"] = "memory://?prefix=users:",
            ["Cache:Name"] = "users",
            ["Cache:CloseTimeout"] = "00:00:01",
        });
        var cache = provider.GetRequiredService<GenfenceCache>();
        Assert.Same(cache, provider.GetRequiredService<GenfenceCache>());
        Assert.Equal("users", cache.Name);
        await cache.SetAsync("k", "x").Within();
    }

    [Fact]
    public async Task Every_kind_of_option_can_stand_in_a_configuration_and_empty_is_not_given()
    {
        await using var provider = Configured(new()
        {
            ["Cache:Url"] = "aerospike://127.0.0.1:1/test/cache?connect_timeout=100ms",
            ["Cache:Ttl"] = "00:01:00",
            ["Cache:TtlJitter"] = "0.25",
            ["Cache:MaxValueBytes"] = "2000000",
            ["Cache:Attempts"] = "2",
            ["Cache:UnreachableRead"] = "Error",
            ["Cache:SeedsOnly"] = "true",
            ["Cache:TlsCa"] = "",
            ["Cache:AddressMap:10.0.0.1"] = "192.0.2.1",
        });
        var cache = provider.GetRequiredService<GenfenceCache>();
        // It has only begun to connect, and the option says that this is an error.
        await Assert.ThrowsAsync<GenfenceStoreException>(() => cache.LookupAsync("k").Within());
        var options = provider.GetRequiredService<IOptions<GenfenceServiceOptions>>().Value;
        Assert.Equal(
            (0.25, 2_000_000L, 2, true, "192.0.2.1"),
            (options.TtlJitter, options.MaxValueBytes, options.Attempts, options.SeedsOnly, options.AddressMap["10.0.0.1"]));
    }

    [Theory]
    [InlineData("Url", null, "Url: is missing")]
    [InlineData("Url", "redis://ada:s3cret@host", "Url: it must begin")]
    [InlineData("Url", "memory://?ttl=0s", "Url: ttl: 0s is out of bounds, must be 1s to 3650days")]
    [InlineData("Url", "memory://?tll=5m", "Url: unknown option \"tll\"; valid options: ttl, ")]
    [InlineData("Url", "aerospike://a", "Url: it must name hosts, namespace and set")]
    [InlineData("Url", "aerospike://a/b/c?tls_ca=/nowhere.pem", "Url: tls_ca: ")]
    [InlineData("Ttl", "00:00:00", "ttl: 0s is out of bounds, must be 1s to 3650days")]
    [InlineData("ReservationTime", "-00:00:01", "reservation_time: -00:00:01, must not be below 0")]
    [InlineData("WorkerThreads", "-1", "WorkerThreads: -1, must be 0 to 256")]
    [InlineData("WorkerThreads", "1000", "WorkerThreads: 1000")]
    [InlineData("CloseTimeout", "-00:00:01", "CloseTimeout: -00:00:01")]
    public async Task Options_out_of_bounds_are_named_before_anything_is_opened(string name, string? value, string message)
    {
        var settings = new Dictionary<string, string?> { ["Cache:Url"] = "memory://" };
        settings[$"Cache:{name}"] = value;
        await using var provider = Configured(settings);
        var refused = Assert.Throws<OptionsValidationException>(provider.GetRequiredService<GenfenceCache>);
        Assert.Contains(message, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("s3cret", refused.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task All_options_that_are_wrong_are_told_at_once()
    {
        await using var provider = Configured(new Dictionary<string, string?>
        {
            ["Cache:Url"] = " ",
            ["Cache:Ttl"] = "00:00:00",
            ["Cache:WorkerThreads"] = "-1",
            ["Cache:CloseTimeout"] = "-00:00:01",
            ["Cache:StartTimeout"] = "-00:00:02",
        });
        var refused = Assert.Throws<OptionsValidationException>(provider.GetRequiredService<GenfenceCache>);
        Assert.Equal(
            ["Url", "CloseTimeout", "WorkerThreads", "ttl", "StartTimeout"],
            refused.Failures.Select(failure => failure[..failure.IndexOf(':', StringComparison.Ordinal)]));
    }

    [Fact]
    public async Task Get_or_create_loads_once_and_fills()
    {
        var loads = 0;
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(new User("Ada", 36), await Hybrid.GetOrCreateAsync("k", _ =>
            {
                loads++;
                return ValueTask.FromResult(new User("Ada", 36));
            }).Within());
        }
        Assert.Equal(1, loads);
        await Hybrid.RemoveAsync("k").Within();
        Assert.Null(await Cache.GetAsync("k").Within());
        await Hybrid.SetAsync("k", new User("Grace", 37)).Within();
        Assert.Equal(new User("Grace", 37), await Hybrid.GetOrCreateAsync<User>("k", _ => throw new InvalidOperationException()).Within());
    }

    [Fact]
    public async Task A_factory_that_a_writer_overtook_stores_nothing()
    {
        Assert.Equal("old", await Hybrid.GetOrCreateAsync("k", async cancellation =>
        {
            await Cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(SourceResult.Committed("new")), cancellationToken: cancellation);
            return "old";
        }).Within());
        Assert.Equal("new", await Hybrid.GetOrCreateAsync<string>("k", _ => throw new InvalidOperationException()).Within());
    }

    [Theory]
    [InlineData(HybridCacheEntryFlags.DisableDistributedCacheWrite)]
    [InlineData(HybridCacheEntryFlags.DisableDistributedCache)]
    public async Task Callers_of_one_process_share_a_load_that_is_not_stored(HybridCacheEntryFlags flags)
    {
        var noWrite = new HybridCacheEntryOptions { Flags = flags };
        var source = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var loads = 0;
        var readers = Enumerable.Range(0, 20).Select(_ => Hybrid.GetOrCreateAsync(
            "k",
            async _ =>
            {
                Interlocked.Increment(ref loads);
                return await source.Task;
            },
            noWrite).AsTask()).ToArray();
        // Who reads nothing is at once where it waits.
        while (Cache.Stats.Misses < (flags == HybridCacheEntryFlags.DisableDistributedCacheWrite ? readers.Length : 0))
        {
            await Task.Yield();
        }
        source.SetResult("value");
        foreach (var reader in readers)
        {
            Assert.Equal("value", await reader.WaitAsync(Support.Patience));
        }
        Assert.InRange(loads, 1, 2);
        Assert.Null(await Cache.GetAsync("k").Within());
    }

    [Fact]
    public async Task Flags_switch_off_what_they_name()
    {
        static HybridCacheEntryOptions With(HybridCacheEntryFlags flags) => new() { Flags = flags };
        var noWrite = With(HybridCacheEntryFlags.DisableDistributedCacheWrite);
        Assert.Equal("a", await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("a"), noWrite).Within());
        await Hybrid.SetAsync("k", "a", noWrite).Within();
        Assert.Null(await Cache.GetAsync("k").Within());

        var noSource = With(HybridCacheEntryFlags.DisableUnderlyingData);
        Assert.Null(await Hybrid.GetOrCreateAsync<string>("k", _ => throw new InvalidOperationException(), noSource).Within());
        Assert.Equal("b", await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("b")).Within());
        Assert.Equal("b", await Hybrid.GetOrCreateAsync<string>("k", _ => throw new InvalidOperationException(), noSource).Within());
        Assert.Equal("b", await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("c"), noWrite).Within());

        var noRead = With(HybridCacheEntryFlags.DisableDistributedCacheRead);
        Assert.Equal("d", await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("d"), noRead).Within());
        Assert.Equal("d", Support.Text(await Cache.GetAsync("k").Within()));

        var neither = With(HybridCacheEntryFlags.DisableDistributedCache);
        Assert.Equal("e", await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("e"), neither).Within());
        Assert.Equal("d", Support.Text(await Cache.GetAsync("k").Within()));

        var noLocal = With(HybridCacheEntryFlags.DisableLocalCache);
        Assert.Equal("d", await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("f"), noLocal).Within());
    }

    [Fact]
    public async Task An_expiration_above_the_bound_is_capped_and_one_that_is_over_stores_nothing()
    {
        static HybridCacheEntryOptions For(TimeSpan time) => new() { Expiration = time };
        foreach (var time in new[] { TimeSpan.MaxValue, TimeSpan.FromDays(36500), TimeSpan.FromHours(1) })
        {
            await Hybrid.RemoveAsync("k").Within();
            Assert.Equal("x", await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("x"), For(time)).Within());
            Assert.NotNull(await Cache.GetAsync("k").Within());
            await Hybrid.SetAsync("k", "y", For(time)).Within();
            Assert.Equal("y", Support.Text(await Cache.GetAsync("k").Within()));
        }
        foreach (var time in new[] { TimeSpan.Zero, TimeSpan.FromSeconds(-1), TimeSpan.MinValue })
        {
            await Hybrid.SetAsync("k", "there").Within();
            Assert.Equal("x", await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("x"), For(time)).Within());
            Assert.Null(await Cache.GetAsync("k").Within());
            await Hybrid.SetAsync("k", "there").Within();
            await Hybrid.SetAsync("k", "x", For(time)).Within();
            Assert.Null(await Cache.GetAsync("k").Within());

            // Flags mean what they mean.
            await Hybrid.SetAsync("k", "there").Within();
            var neither = new HybridCacheEntryOptions
            {
                Expiration = time,
                Flags = HybridCacheEntryFlags.DisableUnderlyingData | HybridCacheEntryFlags.DisableDistributedCacheWrite,
            };
            Assert.Null(await Hybrid.GetOrCreateAsync<string>("k", _ => throw new InvalidOperationException(), neither).Within());
            Assert.NotNull(await Cache.GetAsync("k").Within());
        }
    }

    [Fact]
    public async Task A_key_that_is_none_costs_a_read_of_the_source_and_no_exception()
    {
        var lines = new Lines();
        await using var provider = new ServiceCollection().AddSingleton<Microsoft.Extensions.Logging.ILoggerFactory>(lines)
            .AddGenfence("memory://").AddGenfenceHybridCache().BuildServiceProvider();
        var hybrid = provider.GetRequiredService<HybridCache>();
        var noRead = new HybridCacheEntryOptions { Flags = HybridCacheEntryFlags.DisableDistributedCacheRead };
        var noWrite = new HybridCacheEntryOptions { Flags = HybridCacheEntryFlags.DisableDistributedCacheWrite };
        // The last one is within the bound in characters, and above it in bytes.
        foreach (var key in new[] { null, "", new string('k', 2000), "\ud800", new string('\u00e9', 900) })
        {
            var loads = 0;
            foreach (var options in new[] { null, noRead, noWrite })
            {
                Assert.Equal("x", await hybrid.GetOrCreateAsync(
                    key!, _ => ValueTask.FromResult(++loads > 0 ? "x" : ""), options).Within());
            }
            Assert.Equal(3, loads);
            await hybrid.SetAsync(key!, "x").Within();
            await hybrid.RemoveAsync(key!).Within();
        }
        Assert.Single(lines.Written, line => line.Contains("out of bounds", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Of_several_serializer_factories_the_last_that_was_added_counts()
    {
        var services = new ServiceCollection();
        services.AddSingleton<IHybridCacheSerializerFactory>(new Marks("first"));
        services.AddSingleton<IHybridCacheSerializerFactory>(new Marks("last"));
        await using var provider = services.AddGenfence("memory://").AddGenfenceHybridCache().BuildServiceProvider();
        await provider.GetRequiredService<HybridCache>().SetAsync("k", new Uri("https://example.com")).Within();
        Assert.Equal("last", Support.Text(await provider.GetRequiredService<GenfenceCache>().GetAsync("k").Within()));
    }

    /// <summary>Writes its name, whatever the value.</summary>
    private sealed class Marks(string name) : IHybridCacheSerializerFactory, IHybridCacheSerializer<Uri>
    {
        public bool TryCreateSerializer<T>([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out IHybridCacheSerializer<T>? serializer)
        {
            serializer = this as IHybridCacheSerializer<T>;
            return serializer is not null;
        }

        public Uri Deserialize(ReadOnlySequence<byte> source) => throw new NotSupportedException();

        public void Serialize(Uri value, IBufferWriter<byte> target) => target.Write(System.Text.Encoding.UTF8.GetBytes(name));
    }

    [Fact]
    public async Task Tags_of_a_cache_without_are_refused_and_not_ignored()
    {
        Func<Task>[] calls =
        [
            () => Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("x"), tags: ["tag"]).Within(),
            () => Hybrid.SetAsync("k", "x", tags: ["tag"]).Within(),
            () => Hybrid.RemoveByTagAsync("tag").Within(),
            () => Hybrid.RemoveByTagAsync(["tag"]).Within(),
        ];
        foreach (var call in calls)
        {
            var refused = await Assert.ThrowsAsync<NotSupportedException>(call);
            Assert.Contains("tags=true", refused.Message, StringComparison.Ordinal);
        }
        Assert.Equal("x", await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("x"), tags: []).Within());
    }

    [Fact]
    public async Task A_registered_serializer_is_used()
    {
        await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult(new Reversed("abc"))).Within();
        Assert.Equal("cba", Support.Text(await Cache.GetAsync("k").Within()));
        Assert.Equal(new Reversed("abc"), await Hybrid.GetOrCreateAsync<Reversed>("k", _ => throw new InvalidOperationException()).Within());
    }

    [Fact]
    public async Task A_distributed_cache_gives_back_what_was_set()
    {
        var distributed = (IBufferDistributedCache)_services.GetRequiredService<IDistributedCache>();
        Assert.Null(await distributed.GetAsync("k"));
        await distributed.SetAsync("k", Support.Bytes("one"), new DistributedCacheEntryOptions());
        Assert.Equal(Support.Bytes("one"), await distributed.GetAsync("k"));
        await distributed.SetAsync("k", new ReadOnlySequence<byte>(Support.Bytes("two")), new DistributedCacheEntryOptions()).Within();
        var target = new ArrayBufferWriter<byte>();
        Assert.True(await distributed.TryGetAsync("k", target).Within());
        Assert.Equal(Support.Bytes("two"), target.WrittenSpan.ToArray());
        distributed.Set("k", [], new DistributedCacheEntryOptions());
        Assert.Empty(distributed.Get("k")!);
        await distributed.RefreshAsync("k");
        distributed.Remove("k");
        Assert.False(distributed.TryGet("k", target));
        distributed.Refresh("k");
    }

    [Fact]
    public async Task A_value_slides_by_the_time_provider_of_the_host()
    {
        var distributed = (IBufferDistributedCache)_services.GetRequiredService<IDistributedCache>();
        var slides = new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.FromHours(1) };
        var ends = new DistributedCacheEntryOptions
        {
            SlidingExpiration = TimeSpan.FromHours(1),
            AbsoluteExpirationRelativeToNow = TimeSpan.FromHours(3),
        };
        foreach (var key in new[] { "got", "gotten", "refreshed", "still" })
        {
            await distributed.SetAsync(key, Support.Bytes(key), slides);
        }
        await distributed.SetAsync("ends", Support.Bytes("ends"), ends);
        for (var i = 0; i < 3; i++)
        {
            _time.Advance(TimeSpan.FromMinutes(59));
            Assert.Equal(Support.Bytes("got"), await distributed.GetAsync("got"));
            var target = new ArrayBufferWriter<byte>();
            Assert.True(await distributed.TryGetAsync("gotten", target).Within());
            Assert.Equal(Support.Bytes("gotten"), target.WrittenSpan.ToArray());
            await distributed.RefreshAsync("refreshed");
            Assert.Equal(Support.Bytes("ends"), await distributed.GetAsync("ends"));
        }
        Assert.Equal(Support.Bytes("refreshed"), await distributed.GetAsync("refreshed"));
        Assert.Null(await distributed.GetAsync("still"));
        _time.Advance(TimeSpan.FromMinutes(3));
        Assert.Null(await distributed.GetAsync("ends"));
        _time.Advance(TimeSpan.FromMinutes(57) - TimeSpan.FromTicks(1));
        Assert.NotNull(await distributed.GetAsync("got"));
        _time.Advance(TimeSpan.FromTicks(1));
        Assert.Null(await distributed.GetAsync("gotten"));
        await distributed.RefreshAsync("gotten");
        Assert.Null(await distributed.GetAsync("gotten"));
        Assert.NotNull(await distributed.GetAsync("got"));
    }

    [Fact(Timeout = 30_000)]
    public async Task A_value_slides_by_the_stores_clock_where_the_system_has_none_of_its_own()
    {
        await using var provider = new ServiceCollection()
            .AddGenfence("memory://").AddGenfenceDistributedCache().BuildServiceProvider();
        var distributed = provider.GetRequiredService<IDistributedCache>();
        var cache = provider.GetRequiredService<GenfenceCache>();
        var slides = new DistributedCacheEntryOptions { SlidingExpiration = TimeSpan.FromSeconds(2) };
        await distributed.SetAsync("slides", [1], slides);
        await distributed.SetAsync("still", [1], slides);
        var stamp = (await cache.GetAsync("slides").Within())!.Value.Stamp;
        // As long as it takes: what is read stays, and is not written anew; what nobody reads goes.
        while (await cache.GetAsync("still").Within() is not null)
        {
            await Task.Delay(50, TestContext.Current.CancellationToken);
            Assert.NotNull(await distributed.GetAsync("slides"));
        }
        Assert.Equal(stamp, (await cache.GetAsync("slides").Within())!.Value.Stamp);
    }

    [Fact]
    public async Task An_expiration_in_the_past_is_refused_and_changes_nothing()
    {
        var distributed = (IBufferDistributedCache)_services.GetRequiredService<IDistributedCache>();
        await distributed.SetAsync("k", [1], new DistributedCacheEntryOptions());
        foreach (var past in new[] { _time.GetUtcNow(), _time.GetUtcNow().AddMinutes(-1), DateTimeOffset.MinValue })
        {
            var options = new DistributedCacheEntryOptions { AbsoluteExpiration = past };
            foreach (var call in new Func<Task>[]
            {
                () => distributed.SetAsync("k", [2], options),
                () => distributed.SetAsync("k", new ReadOnlySequence<byte>([2]), options).Within(),
                () => Task.Run(() => distributed.Set("k", [2], options)),
            })
            {
                var refused = await Assert.ThrowsAsync<ArgumentOutOfRangeException>(call);
                Assert.Equal(nameof(DistributedCacheEntryOptions.AbsoluteExpiration), refused.ParamName);
                Assert.Contains("options.AbsoluteExpiration", refused.Message, StringComparison.Ordinal);
            }
        }
        Assert.Equal([1], (await distributed.GetAsync("k"))!);
    }

    [Fact]
    public async Task A_value_of_another_door_is_no_hit()
    {
        var distributed = _services.GetRequiredService<IDistributedCache>();
        await Cache.SetAsync("foreign", "x").Within();
        Assert.Null(await distributed.GetAsync("foreign"));
    }

    [Fact]
    public async Task A_finding_without_advice_says_so_with_empty_text()
    {
        var findings = await Cache.DiagnoseAsync().Within();
        Assert.NotEmpty(findings);
        Assert.All(findings, finding => Assert.NotNull(finding.Advice));
        Assert.Contains(findings, finding => finding.Advice.Length == 0);
    }

    /// <summary>A port at which nobody listens.</summary>
    [Fact]
    public async Task A_cluster_that_is_down_at_the_start_fails_its_own_check_and_no_other()
    {
        await using var provider = new ServiceCollection().AddLogging()
            .AddGenfence("aerospike://127.0.0.1:1/test/cache?connect_timeout=200ms")
            .AddHealthChecks()
            .AddGenfence(failureStatus: HealthStatus.Degraded, tags: ["ready"], timeout: TimeSpan.FromSeconds(30))
            .AddCheck("other", () => HealthCheckResult.Healthy())
            .Services.BuildServiceProvider();
        var report = await provider.GetRequiredService<HealthCheckService>().CheckHealthAsync().WaitAsync(Support.Patience);
        Assert.Equal(HealthStatus.Healthy, report.Entries["other"].Status);
        var own = report.Entries["genfence"];
        Assert.Equal((HealthStatus.Degraded, "ready"), (own.Status, Assert.Single(own.Tags)));
        Assert.Contains("127.0.0.1:1", own.Description, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Health_is_what_the_cache_says_of_itself()
    {
        var health = _services.GetRequiredService<HealthCheckService>();
        var report = await health.CheckHealthAsync();
        Assert.Equal(HealthStatus.Healthy, report.Entries["genfence"].Status);
        await Cache.DisposeAsync().Within();
        report = await health.CheckHealthAsync();
        Assert.Equal(HealthStatus.Unhealthy, report.Entries["genfence"].Status);
        Assert.IsType<GenfenceShutDownException>(report.Entries["genfence"].Exception);
    }

    internal sealed record Reversed(string Text);

    private sealed class ReversedSerializer : IHybridCacheSerializer<Reversed>
    {
        public Reversed Deserialize(ReadOnlySequence<byte> source) =>
            new(string.Concat(System.Text.Encoding.ASCII.GetString(source.ToArray()).Reverse()));

        public void Serialize(Reversed value, IBufferWriter<byte> target) =>
            target.Write(Support.Bytes(string.Concat(value.Text.Reverse())));
    }
}
