using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Caching.Hybrid;
using Npgsql;

namespace Shop;

/// <summary>What a client says of a product.</summary>
public sealed record ProductFields(
    [StringLength(100, MinimumLength = 1)] string Name,
    [Range(0, 100_000_000)] int PriceInCents);

/// <summary>A new product, which the client names.</summary>
public sealed record NewProduct(
    [Range(1, int.MaxValue)] int Id,
    [StringLength(100, MinimumLength = 1)] string Name,
    [Range(0, 100_000_000)] int PriceInCents);

internal static class Products
{
    /// <summary>One maker of keys, as readers and writers must agree.</summary>
    public static string Key(int id) => $"product:{id}";

    public static void MapProducts(this IEndpointRouteBuilder routes)
    {
        var products = routes.MapGroup("/products");
        products.MapGet("/{id}", ReadAsync);
        products.MapPost("/", CreateAsync);
        products.MapPut("/{id}", ReplaceAsync);
        products.MapDelete("/{id}", DeleteAsync);
    }

    private static async Task<Results<Ok<Product>, NotFound>> ReadAsync(
        [Range(1, int.MaxValue)] int id, HybridCache cache, IServiceScopeFactory scopes, CancellationToken cancellation)
    {
        // In a scope of its own: it is for all who wait, and goes on where this request ends. The row is read in here and nowhere earlier, in no transaction and from no replica: it must be the latest.
        // That there is none is remembered, too.
        var product = await cache.GetOrCreateAsync(
            Key(id),
            (scopes, id),
            static async (source, cancellation) =>
            {
                await using var scope = source.scopes.CreateAsyncScope();
                return await scope.ServiceProvider.GetRequiredService<ShopContext>().Products.AsNoTracking()
                    .FirstOrDefaultAsync(row => row.Id == source.id, cancellation);
            },
            cancellationToken: cancellation);
        return product is null ? TypedResults.NotFound() : TypedResults.Ok(product);
    }

    private static async Task<Results<Created<Product>, Conflict<string>>> CreateAsync(
        NewProduct fields, ShopContext shop, CancellationToken cancellation)
    {
        var product = new Product(fields.Id, fields.Name, fields.PriceInCents);
        shop.Add(product);
        try
        {
            await shop.SaveChangesAsync(cancellation);
            return TypedResults.Created($"/products/{product.Id}", product);
        }
        catch (DbUpdateException problem) when (IsTaken(problem.InnerException))
        {
            return TypedResults.Conflict("id or name: another product has it");
        }
    }

    private static async Task<Results<Ok<Product>, NotFound, Conflict<string>>> ReplaceAsync(
        [Range(1, int.MaxValue)] int id, ProductFields fields, ShopContext shop, CancellationToken cancellation)
    {
        var product = new Product(id, fields.Name, fields.PriceInCents);
        shop.Update(product);
        try
        {
            await shop.SaveChangesAsync(cancellation);
            return TypedResults.Ok(product);
        }
        catch (DbUpdateConcurrencyException)
        {
            return TypedResults.NotFound(); // There was no row to change.
        }
        catch (DbUpdateException problem) when (IsTaken(problem.InnerException))
        {
            return TypedResults.Conflict("name: another product has it");
        }
    }

    private static async Task<Results<NoContent, NotFound>> DeleteAsync(
        [Range(1, int.MaxValue)] int id, ShopContext shop, CancellationToken cancellation)
    {
        shop.Remove(new Product(id, "", 0));
        try
        {
            await shop.SaveChangesAsync(cancellation);
            return TypedResults.NoContent();
        }
        catch (DbUpdateConcurrencyException)
        {
            return TypedResults.NotFound();
        }
    }

    // SQLite says of a primary key, and of any other index.
    private static bool IsTaken(Exception? problem) => problem
        is PostgresException { SqlState: PostgresErrorCodes.UniqueViolation }
        or SqliteException { SqliteExtendedErrorCode: 1555 or 2067 };
}
