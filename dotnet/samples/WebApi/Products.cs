using System.ComponentModel.DataAnnotations;
using System.Data.Common;
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

/// <summary>
/// A new product. The client names it, so that its key can be reserved before the insert; where the database makes
/// the id, insert first, and then reserve before the COMMIT.
/// </summary>
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
        NewProduct fields, ProductWriter writer, ShopContext shop, CancellationToken cancellation)
    {
        var product = new Product(fields.Id, fields.Name, fields.PriceInCents);
        try
        {
            // Under a reservation as any change: the cache may remember that there is no such product.
            await writer.ChangeAsync(
                product.Id,
                product,
                cancellation =>
                {
                    shop.Products.Add(product);
                    return shop.SaveChangesAsync(cancellation);
                },
                cancellation);
            return TypedResults.Created($"/products/{product.Id}", product);
        }
        catch (DbUpdateException problem) when (IsTaken(problem.InnerException))
        {
            return TypedResults.Conflict("id or name: another product has it");
        }
    }

    private static async Task<Results<Ok<Product>, NotFound, Conflict<string>>> ReplaceAsync(
        [Range(1, int.MaxValue)] int id,
        ProductFields fields,
        ProductWriter writer,
        ShopContext shop,
        CancellationToken cancellation)
    {
        var product = new Product(id, fields.Name, fields.PriceInCents);
        try
        {
            var found = await writer.ChangeAsync(
                id,
                product,
                cancellation => shop.Products.Where(row => row.Id == id).ExecuteUpdateAsync(
                    row => row.SetProperty(to => to.Name, product.Name)
                        .SetProperty(to => to.PriceInCents, product.PriceInCents),
                    cancellation),
                cancellation);
            return found ? TypedResults.Ok(product) : TypedResults.NotFound();
        }
        catch (DbException problem) when (IsTaken(problem))
        {
            return TypedResults.Conflict("name: another product has it");
        }
    }

    private static async Task<Results<NoContent, NotFound>> DeleteAsync(
        [Range(1, int.MaxValue)] int id, ProductWriter writer, ShopContext shop, CancellationToken cancellation)
    {
        var found = await writer.ChangeAsync(
            id,
            null,
            cancellation => shop.Products.Where(row => row.Id == id).ExecuteDeleteAsync(cancellation),
            cancellation);
        return found ? TypedResults.NoContent() : TypedResults.NotFound();
    }

    // SQLite says of a primary key, and of any other index.
    private static bool IsTaken(Exception? problem) => problem
        is PostgresException { SqlState: PostgresErrorCodes.UniqueViolation }
        or SqliteException { SqliteExtendedErrorCode: 1555 or 2067 };
}
