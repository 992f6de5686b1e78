using System.Collections.Concurrent;
using System.Diagnostics;
using System.IO.Pipelines;
using System.Net;
using System.Reflection;
using Genfence;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.OutputCaching;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Shop.Tests;

/// <summary>Pages that the middleware of ASP.NET Core caches, of two hosts on one store; on <c>memory://</c> there is but one.</summary>
public sealed class OutputCacheTests : IAsyncLifetime
{
    private const string Memory = "memory", Wire = "wire";

    private readonly List<Site> _sites = [];
    private readonly Page _page = new();
    private readonly string _prefix = $"{Guid.NewGuid():N}:";
    private Process? _server;
    private string _address = "";

    public static TheoryData<string> Stores => [Memory, Wire];

    public static TheoryData<string, string> Changes
    {
        get
        {
            var all = new TheoryData<string, string>();
            foreach (var store in Stores)
            {
                foreach (var change in s_changes.Keys)
                {
                    all.Add(store, change);
                }
            }
            return all;
        }
    }

    /// <summary>How one who changes the source says so.</summary>
    private static readonly Dictionary<string, Func<Site, Action, Task>> s_changes = new()
    {
        ["evicted"] = async (site, change) =>
        {
            change();
            await site.Store.EvictByTagAsync("hats", default);
        },
        ["purged"] = async (site, change) =>
        {
            change();
            await site.Cache.PurgeTagsAsync(["hats"]);
        },
        ["all purged"] = async (site, change) =>
        {
            change();
            await site.Store.EvictByTagAsync("*", default);
        },
        ["changed under a reservation"] = async (site, change) => await site.Cache.UpdateTagAsync("hats", (_, _) =>
        {
            change();
            return ValueTask.FromResult(SourceResult.Changed());
        }),
    };

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync()
    {
        foreach (var site in _sites)
        {
            await site.DisposeAsync();
        }
        _server?.Kill();
        _server?.Dispose();
    }

    private async Task<Site> OpenAsync(string store, string options = "tags=true")
    {
        if (store == Wire && _server is null)
        {
            var program = typeof(OutputCacheTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
                .First(attribute => attribute.Key == "Wire").Value!;
            _server = Process.Start(new ProcessStartInfo(program) { RedirectStandardOutput = true })!;
            _address = (await _server.StandardOutput.ReadLineAsync().WaitAsync(ShopTests.Patience))!;
        }
        var url = store == Memory ? "memory://?" : $"aerospike://{_address}/test/cache?timeout=5s&cluster_guard=off&prefix={_prefix}&";
        var site = await Site.StartAsync($"{url}wait=20s&{options}", _page);
        _sites.Add(site);
        return site;
    }

    private async Task<(Site One, Site Other)> TwoAsync(string store)
    {
        var one = await OpenAsync(store);
        return (one, store == Memory ? one : await OpenAsync(store));
    }

    /// <summary>Asks for a page, whose rendering has read the price and waits.</summary>
    private async Task<(Source.Held Held, Task<string> Answer)> HeldAsync(Site site, string path)
    {
        var held = _page.HoldNext();
        var answer = site.GetAsync(path);
        await held.Reached.Task.WaitAsync(ShopTests.Patience);
        return (held, answer);
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task A_page_is_rendered_once_for_all_hosts_until_one_of_its_tags_is_evicted(string store)
    {
        var (one, other) = await TwoAsync(store);
        foreach (var (tag, renders) in new[] { ("hats", 1), ("other", 2), ("red", 2), ("*", 3) })
        {
            Assert.Equal("1", await one.GetAsync("/page"));
            Assert.Equal("1", await other.GetAsync("/page"));
            Assert.Equal(renders, _page.Renders);
            await other.Store.EvictByTagAsync(tag, default);
        }
    }

    [Theory]
    [MemberData(nameof(Changes))]
    public async Task A_page_that_was_rendered_across_a_change_is_served_to_nobody_else(string store, string change)
    {
        var (one, other) = await TwoAsync(store);
        var (held, first) = await HeldAsync(one, "/page");
        await s_changes[change](other, () => _page.Price = 2);
        held.Released.SetResult();
        // It began before the change.
        Assert.Equal("1", await first);
        Assert.Equal("2", await other.GetAsync("/page"));
        Assert.Equal("2", await one.GetAsync("/page"));
        Assert.Equal(2, _page.Renders);
    }

    /// <summary>What docs/outputcache.md says of the others; and that the test above would see it.</summary>
    [Fact]
    public async Task The_store_of_the_process_alone_serves_such_a_page()
    {
        var site = await Site.StartAsync(null, _page);
        _sites.Add(site);
        var (held, first) = await HeldAsync(site, "/page");
        _page.Price = 2;
        await site.Store.EvictByTagAsync("hats", default);
        held.Released.SetResult();
        Assert.Equal("1", await first);
        Assert.Equal("1", await site.GetAsync("/page"));
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task While_a_group_is_changed_its_pages_are_rendered_and_not_stored(string store)
    {
        var (one, other) = await TwoAsync(store);
        await one.GetAsync("/page");
        await other.Cache.UpdateTagAsync("hats", async (_, _) =>
        {
            await one.GetAsync("/page");
            await other.GetAsync("/page");
            Assert.Equal(3, _page.Renders);
            _page.Price = 2;
            return SourceResult.Changed();
        });
        Assert.Equal("2", await one.GetAsync("/page"));
        Assert.Equal("2", await other.GetAsync("/page"));
        Assert.Equal(4, _page.Renders);
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task Of_many_who_come_together_few_render_and_one_stores(string store)
    {
        var site = await OpenAsync(store);
        var held = _page.HoldNext();
        var all = Enumerable.Range(0, 20).Select(_ => site.GetAsync("/page")).ToArray();
        await held.Reached.Task.WaitAsync(ShopTests.Patience);
        held.Released.SetResult();
        Assert.All(await Task.WhenAll(all), text => Assert.Equal("1", text));
        // The middleware may have let one render who only shared what another's lookup had found, and then this one stores.
        Assert.Equal("1", await site.GetAsync("/page"));
        var renders = _page.Renders;
        Assert.Equal("1", await site.GetAsync("/page"));
        Assert.Equal(renders, _page.Renders);
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task Who_renders_beside_another_and_is_done_first_stores(string store)
    {
        var site = await OpenAsync(store);
        var (held, first) = await HeldAsync(site, "/alone");
        Assert.Equal("1", await site.GetAsync("/alone"));
        Assert.Equal("1", await site.GetAsync("/alone"));
        Assert.Equal(2, _page.Renders);
        held.Released.SetResult();
        Assert.Equal("1", await first);
        Assert.Equal("1", await site.GetAsync("/alone"));
        Assert.Equal(2, _page.Renders);
    }

    [Theory]
    [MemberData(nameof(Changes))]
    public async Task Of_two_who_render_across_a_change_none_stores(string store, string change)
    {
        var (one, other) = await TwoAsync(store);
        var held = new List<(Source.Held Held, Task<string> Answer)>();
        for (var i = 0; i < 2; i++)
        {
            held.Add(await HeldAsync(one, "/alone"));
        }
        await s_changes[change](other, () => _page.Price = 2);
        foreach (var (page, answer) in Enumerable.Reverse(held))
        {
            page.Released.SetResult();
            Assert.Equal("1", await answer);
        }
        Assert.Equal("2", await one.GetAsync("/alone"));
        Assert.Equal(3, _page.Renders);
    }

    [Fact]
    public async Task Who_renders_beside_another_and_stores_nothing_leaves_it_the_lease()
    {
        var site = await OpenAsync(Memory);
        _page.Status = HttpStatusCode.NotFound;
        var (held, first) = await HeldAsync(site, "/alone");
        await site.GetAsync("/alone");
        Assert.Equal(0, site.Cache.Stats.LeasesReturned);
        _page.Status = HttpStatusCode.OK;
        held.Released.SetResult();
        await first;
        await site.GetAsync("/alone");
        Assert.Equal(2, _page.Renders);
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task Tags_that_a_page_gets_while_it_is_rendered_count_from_the_next_time_on(string store)
    {
        var site = await OpenAsync(store);
        var (held, first) = await HeldAsync(site, "/late");
        _page.Price = 2;
        await site.Store.EvictByTagAsync("late", default);
        held.Released.SetResult();
        Assert.Equal("1", await first);
        await UntilAsync(() => site.Cache.Stats.LeasesReturned == 1);
        Assert.Equal("2", await site.GetAsync("/late"));
        Assert.Equal("2", await site.GetAsync("/late"));
        Assert.Equal(2, _page.Renders);
        Assert.Single(site.Warnings);
        await site.Store.EvictByTagAsync("late", default);
        await site.GetAsync("/late");
        Assert.Equal(3, _page.Renders);
    }

    [Fact]
    public async Task What_is_not_to_be_stored_gives_its_lease_back()
    {
        var site = await OpenAsync(Memory);
        _page.Status = HttpStatusCode.NotFound;
        await site.GetAsync("/page");
        _page.Status = HttpStatusCode.OK;
        await UntilAsync(() => site.Cache.Stats.LeasesReturned == 1);
        await site.GetAsync("/page");
        await site.GetAsync("/page");
        Assert.Equal(2, _page.Renders);
    }

    [Fact]
    public async Task A_page_that_was_not_looked_for_is_not_stored_and_the_old_one_goes()
    {
        var site = await OpenAsync(Memory);
        await site.GetAsync("/page");
        _page.Price = 2;
        Assert.Equal("2", await site.GetAsync("/page", "anew"));
        Assert.Equal("2", await site.GetAsync("/page"));
        Assert.Equal("2", await site.GetAsync("/page"));
        Assert.Equal(3, _page.Renders);
    }

    [Fact]
    public async Task Pages_beyond_the_bounds_are_served_and_not_stored_which_is_said_once()
    {
        var site = await OpenAsync(Memory, "tags=true&max_value_bytes=2KiB");
        foreach (var path in new[] { "/many", "/large", $"/page?{new string('q', 2000)}" })
        {
            await site.GetAsync(path);
            await site.GetAsync(path);
        }
        Assert.Equal(6, _page.Renders);
        var said = Assert.Single(site.Warnings, line => line.Contains("said once", StringComparison.Ordinal));
        Assert.Contains("tags: there are more than 32", said, StringComparison.Ordinal);
        await site.GetAsync("/page");
        await site.GetAsync("/page");
        Assert.Equal(7, _page.Renders);
    }

    [Fact]
    public async Task What_a_program_sets_outside_of_a_request_is_stored_with_its_tags()
    {
        var store = (IOutputCacheBufferStore)(await OpenAsync(Memory)).Store;
        foreach (var tag in new[] { "a", "*" })
        {
            await store.SetAsync("k", "v"u8.ToArray(), ["a", "*"], TimeSpan.FromMinutes(1), default);
            Assert.Equal("v"u8.ToArray(), await store.GetAsync("k", default));
            var pipe = new Pipe();
            Assert.True(await store.TryGetAsync("k", pipe.Writer, default));
            Assert.Equal(1, (await pipe.Reader.ReadAsync()).Buffer.Length);
            await store.EvictByTagAsync(tag, default);
            Assert.Null(await store.GetAsync("k", default));
            Assert.False(await store.TryGetAsync("k", pipe.Writer, default));
        }
        await store.SetAsync("k", "v"u8.ToArray(), null, TimeSpan.Zero, default);
        Assert.Null(await store.GetAsync("k", default));
    }

    [Fact]
    public async Task A_cache_without_tags_is_refused_at_the_start()
    {
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => OpenAsync(Memory, "tags=false"));
        Assert.Equal("tags", refused.Field);
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        var waited = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.True(waited.Elapsed < ShopTests.Patience);
            await Task.Delay(1);
        }
    }

    /// <summary>What is rendered, and how often.</summary>
    private sealed class Page
    {
        private int _renders;
        private Source.Held? _held;

        public int Renders => Volatile.Read(ref _renders);

        public int Price { get; set; } = 1;

        public HttpStatusCode Status { get; set; } = HttpStatusCode.OK;

        /// <summary>The next one that is rendered waits when it has read the price.</summary>
        public Source.Held HoldNext() => _held = new Source.Held();

        public async Task<IResult> RenderAsync()
        {
            Interlocked.Increment(ref _renders);
            var price = Price;
            if (Interlocked.Exchange(ref _held, null) is { } held)
            {
                held.Reached.SetResult();
                await held.Released.Task;
            }
            return Results.Text($"{price}", statusCode: (int)Status);
        }
    }

    /// <summary>A host of its own, on Kestrel.</summary>
    private sealed class Site(WebApplication app, HttpClient client, Warned warned) : IAsyncDisposable
    {
        private static readonly ConcurrentDictionary<string, TaskCompletionSource> s_underWay = new();

        public GenfenceCache Cache => app.Services.GetRequiredService<GenfenceCache>();

        public IOutputCacheStore Store => app.Services.GetRequiredService<IOutputCacheStore>();

        public IReadOnlyCollection<string> Warnings => warned.Lines;

        /// <summary>Without a URL it has the store of the process alone.</summary>
        public static async Task<Site> StartAsync(string? url, Page page)
        {
            var builder = WebApplication.CreateSlimBuilder();
            builder.WebHost.UseUrls("http://127.0.0.1:0");
            var warned = new Warned();
            builder.Logging.ClearProviders().AddProvider(warned);
            if (url is not null)
            {
                builder.Services.AddGenfence(url).AddGenfenceOutputCache();
            }
            builder.Services.AddOutputCache();
            var app = builder.Build();
            app.Use(async (request, next) =>
            {
                await next(request);
                s_underWay[request.Request.Headers["Number"]!].SetResult();
            });
            app.UseOutputCache();
            app.MapGet("/page", page.RenderAsync).CacheOutput(policy => policy.Tag("hats", "red").AddPolicy<Anew>());
            app.MapGet("/alone", page.RenderAsync).CacheOutput(policy => policy.Tag("hats").SetLocking(false));
            app.MapGet("/many", page.RenderAsync).CacheOutput(policy => policy.Tag([.. Enumerable.Range(0, 33).Select(tag => $"t{tag}")]));
            app.MapGet("/late", (HttpRequest request) =>
            {
                request.HttpContext.Features.Get<IOutputCacheFeature>()!.Context.Tags.Add("late");
                return page.RenderAsync();
            }).CacheOutput(policy => policy.Tag("hats"));
            app.MapGet("/large", async () =>
            {
                await page.RenderAsync();
                return new string('x', 3000);
            }).CacheOutput();
            try
            {
                await app.StartAsync();
            }
            catch
            {
                await app.DisposeAsync();
                throw;
            }
            return new Site(app, new HttpClient { BaseAddress = new Uri(app.Urls.Single()) }, warned);
        }

        /// <summary>Its answer may come before it is stored; this waits for both.</summary>
        public async Task<string> GetAsync(string path, string? how = null)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(path, UriKind.Relative));
            var number = $"{Guid.NewGuid()}";
            request.Headers.Add("Number", number);
            var done = s_underWay[number] = new(TaskCreationOptions.RunContinuationsAsynchronously);
            // The middleware's keys have it.
            request.Headers.Host = "shop.test";
            if (how is not null)
            {
                request.Headers.Add("How", how);
            }
            using var answer = await client.SendAsync(request).WaitAsync(ShopTests.Patience);
            await done.Task.WaitAsync(ShopTests.Patience);
            return await answer.Content.ReadAsStringAsync();
        }

        public async ValueTask DisposeAsync()
        {
            client.Dispose();
            await app.DisposeAsync();
        }
    }

    /// <summary>A request may ask for a page that is rendered anew.</summary>
    private sealed class Anew : IOutputCachePolicy
    {
        public ValueTask CacheRequestAsync(OutputCacheContext context, CancellationToken cancellation)
        {
            context.AllowCacheLookup &= !context.HttpContext.Request.Headers.ContainsKey("How");
            return default;
        }

        public ValueTask ServeFromCacheAsync(OutputCacheContext context, CancellationToken cancellation) => default;

        public ValueTask ServeResponseAsync(OutputCacheContext context, CancellationToken cancellation) => default;
    }

    private sealed class Warned : ILoggerProvider, ILogger
    {
        private readonly List<string> _lines = [];

        public IReadOnlyCollection<string> Lines
        {
            get
            {
                lock (_lines)
                {
                    return [.. _lines];
                }
            }
        }

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                lock (_lines)
                {
                    _lines.Add(formatter(state, exception));
                }
            }
        }

        public void Dispose()
        {
        }
    }
}
