using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;

namespace Genfence.Tests;

/// <summary>What Microsoft's HybridCache takes from its services, this one takes, too.</summary>
public sealed class HybridTests : IAsyncLifetime
{
    private readonly ServiceCollection _services = new();
    private ServiceProvider? _provider;

    private HybridCache Hybrid => Provider.GetRequiredService<HybridCache>();

    private GenfenceCache Cache => Provider.GetRequiredService<GenfenceCache>();

    private ServiceProvider Provider => _provider ??= _services.AddGenfence("memory://?wait=20s").AddGenfenceHybridCache().BuildServiceProvider();

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync()
    {
        if (_provider is not null)
        {
            await _provider.DisposeAsync();
        }
        await Support.AssertNothingIsAliveAsync();
    }

    [Fact]
    public async Task Json_options_for_all_types_are_those_of_updates_too()
    {
        _services.AddKeyedSingleton<JsonSerializerOptions>(typeof(IHybridCacheSerializer<>), new JsonSerializerOptions(JsonSerializerDefaults.Web));
        await Hybrid.SetAsync("k", new User("Ada", 36)).Within();
        Assert.Equal("""{"name":"Ada","age":36}""", Support.Text(await Cache.GetAsync("k").Within()));
        await Cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(SourceResult.Committed(new User("Grace", 37)))).Within();
        Assert.Equal("""{"name":"Grace","age":37}""", Support.Text(await Cache.GetAsync("k").Within()));
        Assert.Equal(new User("Grace", 37), await Hybrid.GetOrCreateAsync<User>("k", _ => throw new InvalidOperationException()).Within());
        // Text is text, and no JSON.
        await Hybrid.SetAsync("k", "text").Within();
        Assert.Equal("text", Support.Text(await Cache.GetAsync("k").Within()));
    }

    [Fact]
    public async Task Json_options_of_one_type_go_before_all_others()
    {
        var own = new JsonSerializerOptions(JsonSerializerDefaults.Web) { Converters = { new JsonStringEnumConverter() } };
        _services.AddKeyedSingleton<JsonSerializerOptions>(typeof(IHybridCacheSerializer<>), new JsonSerializerOptions(JsonSerializerDefaults.Web));
        _services.AddKeyedSingleton<JsonSerializerOptions>(typeof(IHybridCacheSerializer<DayOfWeek>), own);
        await Hybrid.SetAsync("k", DayOfWeek.Monday).Within();
        Assert.Equal("\"Monday\"", Support.Text(await Cache.GetAsync("k").Within()));
        await Cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(SourceResult.Committed(DayOfWeek.Friday)),
            GenfenceSerializer.Json<DayOfWeek>(own)).Within();
        Assert.Equal(DayOfWeek.Friday, await Hybrid.GetOrCreateAsync<DayOfWeek>("k", _ => throw new InvalidOperationException()).Within());
        await Hybrid.SetAsync("k", new User("Ada", 36)).Within();
        Assert.Equal("""{"name":"Ada","age":36}""", Support.Text(await Cache.GetAsync("k").Within()));
    }

    [Fact]
    public async Task Json_options_that_the_cache_was_given_go_before_those_for_all_types()
    {
        _services.AddKeyedSingleton<JsonSerializerOptions>(typeof(IHybridCacheSerializer<>), new JsonSerializerOptions(JsonSerializerDefaults.Web));
        _services.AddGenfence("memory://", options => options.UseJson(new JsonSerializerOptions()));
        await Hybrid.SetAsync("k", new User("Ada", 36)).Within();
        Assert.Equal("""{"Name":"Ada","Age":36}""", Support.Text(await Cache.GetAsync("k").Within()));
    }

    [Fact]
    public async Task Json_options_count_for_a_cache_that_was_opened_elsewhere()
    {
        _services.AddKeyedSingleton<JsonSerializerOptions>(typeof(IHybridCacheSerializer<>), new JsonSerializerOptions(JsonSerializerDefaults.Web));
        await using var cache = await GenfenceCache.ConnectAsync("memory://");
        await using var provider = _services.AddSingleton(cache).AddGenfenceHybridCache().BuildServiceProvider();
        await provider.GetRequiredService<HybridCache>().SetAsync("k", new User("Ada", 36)).Within();
        Assert.Equal("""{"name":"Ada","age":36}""", Support.Text(await cache.GetAsync("k").Within()));
    }

    [Fact]
    public async Task Json_options_that_would_lose_data_are_refused_before_the_source_is_read()
    {
        _services.AddKeyedSingleton<JsonSerializerOptions>(typeof(IHybridCacheSerializer<>), new JsonSerializerOptions(JsonSerializerDefaults.Web));
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => Hybrid.GetOrCreateAsync<(int, string)>("k", _ => throw new InvalidOperationException("ran")).Within());
        Assert.Equal("serializer", refused.Field);
    }

    [Fact]
    public async Task Default_flags_count_where_a_call_has_none()
    {
        _services.Configure<HybridCacheOptions>(options => options.DefaultEntryOptions = new HybridCacheEntryOptions
        {
            Flags = HybridCacheEntryFlags.DisableDistributedCacheWrite,
        });
        var unsaid = new HybridCacheEntryOptions { Expiration = TimeSpan.FromMinutes(1) };
        foreach (var options in new[] { null, unsaid })
        {
            Assert.Equal("a", await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("a"), options).Within());
            await Hybrid.SetAsync("k", "a", options).Within();
            Assert.Null(await Cache.GetAsync("k").Within());
        }
        var said = new HybridCacheEntryOptions { Flags = HybridCacheEntryFlags.None };
        Assert.Equal("b", await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("b"), said).Within());
        Assert.Equal("b", Support.Text(await Cache.GetAsync("k").Within()));
    }

    [Fact]
    public async Task A_default_expiration_counts_where_a_call_has_none()
    {
        // As AddHybridCache registers them, which its users have in their programs already; in the end ours is there.
        _services.AddHybridCache(options => options.DefaultEntryOptions = new HybridCacheEntryOptions { Expiration = TimeSpan.Zero });
        // Seen by what it does: one of no time stores nothing.
        var unsaid = new HybridCacheEntryOptions { Flags = HybridCacheEntryFlags.DisableLocalCache };
        foreach (var options in new[] { null, unsaid })
        {
            Assert.Equal("a", await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("a"), options).Within());
            await Hybrid.SetAsync("k", "a", options).Within();
            Assert.Null(await Cache.GetAsync("k").Within());
        }
        var said = new HybridCacheEntryOptions { Expiration = TimeSpan.FromMinutes(1) };
        Assert.Equal("b", await Hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("b"), said).Within());
        Assert.Equal("b", Support.Text(await Cache.GetAsync("k").Within()));
    }

    [Fact]
    public async Task A_keyed_cache_has_the_options_of_its_name()
    {
        _services.Configure<HybridCacheOptions>("users", options => options.DefaultEntryOptions = new HybridCacheEntryOptions
        {
            Flags = HybridCacheEntryFlags.DisableDistributedCacheWrite,
        });
        _services.AddKeyedGenfence("users", "memory://").AddKeyedGenfenceHybridCache("users");
        foreach (var (cache, hybrid, stores) in new[]
        {
            (Provider.GetRequiredKeyedService<GenfenceCache>("users"), Provider.GetRequiredKeyedService<HybridCache>("users"), false),
            (Cache, Hybrid, true),
        })
        {
            await hybrid.SetAsync("k", "a").Within();
            Assert.Equal(stores, await cache.GetAsync("k").Within() is not null);
        }
    }
}
