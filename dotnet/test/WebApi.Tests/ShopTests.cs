using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Genfence;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.AspNetCore.TestHost;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

// The meter is the process's, so they take turns.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

namespace Shop.Tests;

/// <summary>What a client sees, whatever the cache and the source are.</summary>
public abstract class ShopTests : IAsyncLifetime
{
    /// <summary>Far longer than anything here takes; ends a test that hangs.</summary>
    internal static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private static readonly Product s_teapot = new(1, "Teapot", 1900);
    private static readonly Product s_kettle = new(1, "Kettle", 2500);

    private static readonly (string Method, string Path, string? Body, string Field)[] s_bad =
    [
        ("PUT", "/products/1", """{"name":"","priceInCents":1}""", "name"),
        ("PUT", "/products/1", """{"name":null,"priceInCents":1}""", "name"),
        ("PUT", "/products/1", """{"name":"x","priceInCents":-1}""", "priceInCents"),
        ("PUT", "/products/1", """{"name":"x","priceInCents":"y"}""", "priceInCents"),
        ("PUT", "/products/1", """{"name":"x"}""", "priceInCents"),
        ("PUT", "/products/1", "{", "JSON"),
        ("PUT", "/products/1", null, "fields"),
        ("PUT", "/products/0", """{"name":"x","priceInCents":1}""", "id"),
        ("POST", "/products", """{"id":0,"name":"x","priceInCents":1}""", "id"),
        ("POST", "/products", """{"id":9,"name":"","priceInCents":1}""", "name"),
        ("POST", "/products", """{"id":9,"name":"x","priceInCents":100000001}""", "priceInCents"),
        ("GET", "/products/many", null, "id"),
        ("GET", "/products/0", null, "id"),
        ("DELETE", "/products/-1", null, "id"),
    ];

    // In its metrics: those of an earlier test may still be there.
    private readonly string _name = $"{Guid.NewGuid()}";
    private readonly Source _source = new();
    private WebApplicationFactory<ShopContext>? _program;

    protected HttpClient Client { get; private set; } = null!;

    protected virtual string Url => "memory://?wait=20s&lease_time=1m";

    /// <summary>A database of this test's own.</summary>
    protected abstract (string Setting, string Value) Database { get; }

    private GenfenceCache Cache => _program!.Services.GetRequiredService<GenfenceCache>();

    public virtual ValueTask InitializeAsync()
    {
        var (setting, value) = Database;
#pragma warning disable CA2000 // Disposed with the one that is made from it.
        _program = new WebApplicationFactory<ShopContext>().WithWebHostBuilder(host => host
            .UseSetting("Genfence:Url", Url)
            .UseSetting("Genfence:Name", _name)
            .UseSetting(setting, value)
            .ConfigureLogging(logging => logging.ClearProviders())
            .ConfigureTestServices(services => services.ConfigureDbContext<ShopContext>(
                options => options.AddInterceptors(_source))));
#pragma warning restore CA2000
        Client = _program.CreateClient();
        Client.Timeout = Patience;
        return default;
    }

    public virtual async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        if (_program is null)
        {
            return;
        }
        await using (var scope = _program.Services.CreateAsyncScope())
        {
            await scope.ServiceProvider.GetRequiredService<ShopContext>().Database.EnsureDeletedAsync();
        }
        Client.Dispose();
        await _program.DisposeAsync();
    }

    [Fact]
    public async Task A_product_is_read_once_and_then_comes_from_the_cache()
    {
        Assert.Equal(s_teapot, await ReadAsync(1));
        Assert.Equal(1, _source.Reads);
        Assert.Equal(s_teapot, await ReadFromCacheAsync(1));
    }

    [Fact]
    public async Task A_change_is_seen_at_once_and_comes_from_the_cache()
    {
        Assert.Equal(s_teapot, await ReadAsync(1));
        await ReplaceAsync(s_kettle, HttpStatusCode.OK);
        Assert.Equal(s_kettle, await ReadFromCacheAsync(1));
        Assert.Equal(1, Cache.Stats.CommitsStored);
    }

    [Fact]
    public async Task What_was_created_is_found_although_the_cache_remembered_that_it_was_not_there()
    {
        Assert.Null(await ReadAsync(3));
        Assert.Null(await ReadFromCacheAsync(3));
        var spoon = new Product(3, "Spoon", 120);
        using var created = await Client.PostAsJsonAsync(new Uri("/products", UriKind.Relative), spoon);
        Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        Assert.Equal(spoon, await Client.GetFromJsonAsync<Product>(created.Headers.Location));
        Assert.Equal(spoon, await ReadFromCacheAsync(3));
        using var again = await Client.PostAsJsonAsync(new Uri("/products", UriKind.Relative), spoon);
        Assert.Equal(HttpStatusCode.Conflict, again.StatusCode);
        Assert.Equal(spoon, await ReadAsync(3));
    }

    [Fact]
    public async Task What_was_deleted_is_gone_at_once_and_that_comes_from_the_cache()
    {
        Assert.Equal(s_teapot, await ReadAsync(1));
        using var deleted = await Client.DeleteAsync(Of(1));
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        Assert.Null(await ReadFromCacheAsync(1));
        using var again = await Client.DeleteAsync(Of(1));
        Assert.Equal(HttpStatusCode.NotFound, again.StatusCode);
        await ReplaceAsync(s_kettle, HttpStatusCode.NotFound);
        Assert.Null(await ReadAsync(1));
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task A_reader_with_the_old_row_does_not_leave_it_in_the_cache_when_a_change_overtakes_it()
    {
        var held = _source.HoldNextRead();
        var reading = ReadAsync(1);
        await held.Reached.Task.WaitAsync(Patience);
        await ReplaceAsync(s_kettle, HttpStatusCode.OK);
        held.Released.SetResult();
        // It began before the change, so it may have the old one; who comes now may not.
        Assert.Equal(s_teapot, await reading);
        Assert.Equal(s_kettle, await ReadFromCacheAsync(1));
        Assert.Equal(1, Cache.Stats.FillsRejected);
    }

    [Fact]
    public async Task A_change_that_the_database_refuses_leaves_the_old_value_and_keeps_nobody_waiting()
    {
        Assert.Equal(s_teapot, await ReadAsync(1));
        await ReplaceAsync(s_teapot with { Name = "Cup" }, HttpStatusCode.Conflict);
        Assert.Equal(s_teapot, await ReadAsync(1));
        Assert.Equal(s_teapot, await ReadFromCacheAsync(1));
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task A_change_whose_answer_is_lost_leaves_no_old_value_in_the_cache()
    {
        Assert.Equal(s_teapot, await ReadAsync(1));
        _source.LoseChanges();
        await ReplaceAsync(s_kettle, HttpStatusCode.InternalServerError);
        Assert.Equal(s_kettle, await ReadAsync(1));
        Assert.Equal(1, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task A_change_that_comes_too_late_is_rolled_back_and_can_be_tried_again()
    {
        // The reservation's time is over in less than a millisecond.
        await using var hasty = _program!.WithWebHostBuilder(host => host
            .UseSetting("Genfence:Url", "memory://?reservation_time=100ms&reservation_margin=99ms"));
        using var client = hasty.CreateClient();
        using var late = await client.PutAsJsonAsync(Of(1), new ProductFields(s_kettle.Name, s_kettle.PriceInCents));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, late.StatusCode);
        Assert.Contains("try again", await late.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal(s_teapot, await client.GetFromJsonAsync<Product>(Of(1)));
        Assert.Equal(0, hasty.Services.GetRequiredService<GenfenceCache>().Stats.ReservationsLeft);
    }

    [Fact]
    public async Task Bad_input_is_refused_by_the_name_of_its_field()
    {
        foreach (var (method, path, body, field) in s_bad)
        {
            using var request = new HttpRequestMessage(new HttpMethod(method), new Uri(path, UriKind.Relative));
            if (body is not null)
            {
                request.Content = new StringContent(body, Encoding.UTF8, "application/json");
            }
            using var refused = await Client.SendAsync(request);
            Assert.True(
                refused.StatusCode == HttpStatusCode.BadRequest, $"{method} {path} {body}: {refused.StatusCode}");
            var problem = await refused.Content.ReadFromJsonAsync<JsonElement>();
            var named = problem.TryGetProperty("errors", out var errors)
                ? errors.ToString()
                : problem.GetProperty("detail").GetString();
            Assert.Contains(field, named, StringComparison.OrdinalIgnoreCase);
        }
        Assert.Equal(0, Cache.Stats.Reservations);
    }

    [Fact]
    public async Task Health_is_told_with_its_details()
    {
        var health = await Client.GetFromJsonAsync<JsonElement>(new Uri("/health", UriKind.Relative));
        Assert.Equal("Healthy", health.GetProperty("status").GetString());
        Assert.Equal("Healthy", health.GetProperty("checks").GetProperty("genfence").GetProperty("status").GetString());
    }

    [Fact]
    public async Task Metrics_count_what_was_done()
    {
        await ReadAsync(1);
        await ReadAsync(1);
        await ReadAsync(1);
        await ReplaceAsync(s_kettle, HttpStatusCode.OK);
        var text = await Client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        var metrics = text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var labels = $"{{genfence_cache=\"{_name}\"}}";
        Assert.Contains($"genfence_hits_total{labels} 2", metrics);
        Assert.Contains($"genfence_misses_total{labels} 1", metrics);
        Assert.Contains($"genfence_commits_stored_total{labels} 1", metrics);
        Assert.Contains($"genfence_load_duration_seconds_count{labels} 1", metrics);
    }

    /// <summary>Nothing, where there is no such product.</summary>
    protected async Task<Product?> ReadAsync(int id)
    {
        using var answer = await Client.GetAsync(Of(id));
        return answer.StatusCode == HttpStatusCode.NotFound
            ? null
            : await answer.EnsureSuccessStatusCode().Content.ReadFromJsonAsync<Product>();
    }

    protected async Task<string> ReplaceAsync(Product product, HttpStatusCode expected)
    {
        ArgumentNullException.ThrowIfNull(product);
        var fields = new ProductFields(product.Name, product.PriceInCents);
        using var answer = await Client.PutAsJsonAsync(Of(product.Id), fields);
        Assert.Equal(expected, answer.StatusCode);
        return await answer.Content.ReadAsStringAsync();
    }

    private async Task<Product?> ReadFromCacheAsync(int id)
    {
        var before = _source.Reads;
        var product = await ReadAsync(id);
        Assert.Equal(before, _source.Reads);
        return product;
    }

    private static Uri Of(int id) => new($"/products/{id}", UriKind.Relative);
}
